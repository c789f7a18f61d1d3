"""The manifest of an environment, `openenv.yaml`: what it holds, and the line of what is wrong.

Owns both forms: the one with sections (`server`, `client`, `models`) and the flat one of existing
environments (`app`, `port`, `action`). Knows files and YAML, but imports no environment: whether
the names in it lead anywhere is seen by whoever imports them.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from openenv.address import DEFAULT_PORT, MAX_PORT
from openenv.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

MANIFEST = "openenv.yaml"
DEFAULT_APP = "server.app:app"
"What a manifest without `app` means."

_REFERENCE = re.compile(r"\w+(\.\w+)*:\w+(\.\w+)*")
_DOTTED = re.compile(r"\w+(\.\w+)*")
_TYPO = 0.75
"How alike an unknown key must be to a known one to be taken for it."


@dataclass(frozen=True)
class Problem:
    """What is wrong with a manifest, and where; `is_error` unless it changes nothing."""

    line: int
    message: str
    is_error: bool = True


@dataclass(kw_only=True)
class Manifest:
    """What an environment's manifest says; what it leaves out is None, or the default."""

    path: Path
    name: str
    "The folder's name, where the manifest gives none."
    version: str | None = None
    description: str | None = None
    license: str | None = None
    "An SPDX expression, such as `BSD-3-Clause AND MIT`: of the folder and of what it installs."
    app: str = DEFAULT_APP
    "What is served, as module:attribute from the environment's folder."
    port: int = DEFAULT_PORT
    dockerfile: str | None = None
    "From the environment's folder."
    client: str | None = None
    "module:class; without a module the class is looked for in `client`."
    action: str | None = None
    observation: str | None = None
    state: str | None = None
    "Names of the payload classes, as module.Class or as Class alone."
    dependencies: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    "For the process that serves it, such as those of a Hugging Face Space."
    lines: dict[str, int] = field(default_factory=dict)
    "Where each key stands: `server.port` -> 7."

    @property
    def stem(self) -> str:
        """The name without `_env`, as images and distributions are called after it."""
        stem = re.sub(r"(?<=.)[-_]env$", "", self.name.lower())
        return re.sub(r"[^a-z0-9]+", "-", stem).strip("-") or "env"

    @property
    def images(self) -> tuple[str, str]:
        """What its image is called: `echo-env` and `openenv-echo`."""
        return f"{self.stem}-env:latest", f"openenv-{self.stem}:latest"

    def place(self, key: str) -> str:
        """Return `path:line` of a key, or the path alone if it is not there."""
        line = self.lines.get(key)
        return str(self.path) if line is None else f"{self.path}:{line}"


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of an environment's folder. Raises ConfigurationError, with the line."""
    manifest, problems = examine_manifest(folder)
    for problem in problems:
        if problem.is_error:
            raise ConfigurationError(f"{manifest.path}:{problem.line}: {problem.message}")
    return manifest


def examine_manifest(folder: Path) -> tuple[Manifest, list[Problem]]:
    """Return what can be read of a manifest, and everything that is wrong with its content.

    Raises ConfigurationError where there is none, or no YAML in it.
    """
    path = folder / MANIFEST
    manifest = Manifest(path=path, name=folder.resolve().name)
    reader = _Reader(manifest)
    reader.read_top(_root(path, folder))
    return manifest, sorted(reader.problems, key=lambda problem: problem.line)


def _root(path: Path, folder: Path) -> Any:
    """Return the node of the whole document: nodes know their lines."""
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (FileNotFoundError, NotADirectoryError):
        if not folder.is_dir():
            raise ConfigurationError(f"there is no folder {folder}") from None
        raise ConfigurationError(
            f"{folder} is no environment: it holds no {MANIFEST}. It needs at least the line "
            f"'app: {DEFAULT_APP}'"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        line = f":{where.line + 1}" if where is not None else ""
        problem = getattr(error, "problem", None) or error
        raise ConfigurationError(f"{path}{line} is not valid YAML: {problem}") from error
    if not isinstance(root, yaml.MappingNode):
        raise ConfigurationError(f"{path} must hold keys and values, such as 'app: {DEFAULT_APP}'")
    return root


class _Reader:
    """Fills a manifest from nodes and notes problems, rather than to stop at the first."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.problems: list[Problem] = []

    def read_top(self, root: Any) -> None:
        manifest = self.manifest
        self.read(
            root,
            "",
            {
                "name": self.text_to("name"),
                "version": self.text_to("version"),
                "description": self.text_to("description"),
                "license": self.text_to("license"),
                "app": self.text_to("app", _REFERENCE, f"of the form {DEFAULT_APP}"),
                "port": self.read_port,
                "action": self.text_to("action", _DOTTED, "the name of a class"),
                "observation": self.text_to("observation", _DOTTED, "the name of a class"),
                "state": self.text_to("state", _DOTTED, "the name of a class"),
                "server": self.read_server,
                "client": self.read_client,
                "models": self.read_models,
                "dependencies": self.read_dependencies,
                "variables": self.read_variables,
                # Read by other tools, and nothing that changes what openenv does.
                **dict.fromkeys(("spec_version", "type", "runtime", "validation"), _leave),
            },
        )
        if not manifest.name.strip():
            self.complain(root, "name is empty: give the environment's name, such as my_env")

    # ---- sections

    def read_server(self, node: Any) -> None:
        readers = {
            "app": self.text_to("app", _REFERENCE, f"of the form {DEFAULT_APP}"),
            "port": self.read_port,
            "dockerfile": self.text_to("dockerfile"),
        }
        self.read(node, "server", readers)

    def read_client(self, node: Any) -> None:
        if isinstance(node, yaml.ScalarNode):
            self.text_to("client", re.compile(r"[\w.]+(:\w+)?"), "module:Class")(node)
            return
        parts: dict[str, str] = {}
        readers = {name: self.part_to(parts, name) for name in ("module", "class")}
        self.read(node, "client", readers)
        if "class" in parts:
            self.manifest.client = f"{parts.get('module', 'client')}:{parts['class']}"
        elif isinstance(node, yaml.MappingNode):
            self.complain(node, "client has no class: give the name of the EnvClient's class")

    def read_models(self, node: Any) -> None:
        names = ("action", "observation", "state")
        form = "the name of a class, such as models.MyAction"
        self.read(node, "models", {name: self.text_to(name, _DOTTED, form) for name in names})

    def read_dependencies(self, node: Any) -> None:
        if not isinstance(node, yaml.SequenceNode):
            self.complain(node, "dependencies must be a list, such as ['numpy>=1.20']")
            return
        for item in node.value:
            if isinstance(item, yaml.ScalarNode) and re.match(r"[A-Za-z0-9]", item.value):
                self.manifest.dependencies.append(item.value)
            else:
                self.complain(item, "a dependency must be a name with a version: 'numpy>=1.20'")

    def read_variables(self, node: Any) -> None:
        if not isinstance(node, yaml.MappingNode):
            self.complain(node, "variables must be names and values")
            return
        for key, value in node.value:
            if isinstance(value, yaml.ScalarNode):
                self.manifest.variables[str(key.value)] = value.value
            else:
                self.complain(key, f"the value of the variable {key.value} must be a text")

    # ---- values

    def read(self, node: Any, prefix: str, readers: dict[str, Callable[[Any], None]]) -> None:
        """Hand the values of a mapping to the readers of their keys."""
        if not isinstance(node, yaml.MappingNode):
            self.complain(node, f"{prefix} must hold keys and values: {', '.join(readers)}")
            return
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            dotted = f"{prefix}.{name}" if prefix else name
            if name in seen:
                self.complain(key, f"{dotted} is there twice: remove one")
            elif name in readers:
                self.manifest.lines[dotted] = key.start_mark.line + 1
                readers[name](value)
            else:
                self.complain_of_unknown(key, dotted, name, list(readers))
            seen.add(name)

    def read_port(self, node: Any) -> None:
        text = node.value if isinstance(node, yaml.ScalarNode) else ""
        if not re.fullmatch(r"\d{1,5}", text) or not 0 < int(text) <= MAX_PORT:
            self.complain(node, f"port is {_shown(node)}, but must be from 1 to {MAX_PORT}")
        elif {"port", "server.port"} <= self.manifest.lines.keys() and (
            int(text) != self.manifest.port
        ):
            self.complain(node, f"port is {text} here and {self.manifest.port} elsewhere in it")
        else:
            self.manifest.port = int(text)

    def text_to(
        self, attribute: str, form: re.Pattern[str] | None = None, said: str = ""
    ) -> Callable[[Any], None]:
        """Return a reader that sets an attribute to a scalar, as it is written."""

        def read(node: Any) -> None:
            # As written: an unquoted `version: 1.10` is the text "1.10" and not the number 1.1.
            if not isinstance(node, yaml.ScalarNode) or node.tag == "tag:yaml.org,2002:null":
                self.complain(node, f"{attribute} must be {said or 'a text'}")
            elif form is not None and not form.fullmatch(node.value):
                self.complain(node, f"{attribute} is {_shown(node)}, but must be {said}")
            else:
                setattr(self.manifest, attribute, node.value)

        return read

    def part_to(self, parts: dict[str, str], name: str) -> Callable[[Any], None]:
        def read(node: Any) -> None:
            if isinstance(node, yaml.ScalarNode) and _DOTTED.fullmatch(node.value):
                parts[name] = node.value
            else:
                self.complain(node, f"client.{name} is {_shown(node)}, but must be a name")

        return read

    def complain_of_unknown(self, key: Any, dotted: str, name: str, known: list[str]) -> None:
        meant = difflib.get_close_matches(name, known, n=1, cutoff=_TYPO)
        if meant:
            self.complain(key, f"there is no key {dotted}: {meant[0]} is meant")
        else:
            # Whoever wrote it has a tool that reads it.
            self.complain(key, f"{dotted} means nothing to openenv", is_error=False)

    def complain(self, node: Any, message: str, *, is_error: bool = True) -> None:
        self.problems.append(Problem(node.start_mark.line + 1, message, is_error))


def _shown(node: Any) -> str:
    if not isinstance(node, yaml.ScalarNode):
        return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
    return node.value if node.tag == "tag:yaml.org,2002:int" else repr(node.value)


def _leave(_: Any) -> None:
    """Take any value."""
