"""Writes the folder of a new environment from its name and the files in templates/.

A template has the files of `shared`, replaced and extended by those of the folder with its own
name. The files end in `.in`, so that no tool reads them as code before the words are filled in.
"""

from __future__ import annotations

import keyword
import os
import re
import sys
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from tempfile import TemporaryDirectory

from openenv.errors import ConfigurationError

TEMPLATES = Path(__file__).parent / "templates"
SUFFIX = ".in"

_WORD = re.compile("@(name|stem|prefix|title|image|description|requirements)@")


class Template(StrEnum):
    """What a new environment begins as."""

    MINIMAL = "minimal"
    GYMNASIUM = "gymnasium"


_DESCRIPTIONS = {
    Template.MINIMAL: "Go to a target on a line of numbers",
    Template.GYMNASIUM: "CartPole-v1 of Gymnasium as a service",
}
_REQUIREMENTS = {Template.MINIMAL: "", Template.GYMNASIUM: ', "gymnasium>=1.0"'}


@dataclass(frozen=True)
class Names:
    """The names of modules, classes and titles in an environment of this name."""

    name: str

    @property
    def stem(self) -> str:
        """`my_env` -> `my`, as in my_environment.py."""
        return self.name.removesuffix("_env") or self.name

    @property
    def prefix(self) -> str:
        """`my_env` -> `My`, as in MyAction."""
        return "".join(part[:1].upper() + part[1:] for part in self.stem.split("_"))

    @property
    def title(self) -> str:
        """`my_env` -> `My environment`."""
        words = self.stem.replace("_", " ")
        return f"{words[:1].upper()}{words[1:]} environment"


def why_unfit(name: str) -> str | None:
    """Return the reason why an environment cannot have this name; None if it can."""
    if not name.isidentifier() or not name.isascii() or keyword.iskeyword(name):
        return f"{name!r} is no name of a Python module, such as my_env: letters, digits and _"
    if name.strip("_") != name:
        return f"{name!r} begins or ends with _, which no name of a distribution may"
    ours = name in ("openenv", "openenv_core", "envs") or _is_needed(name)
    if ours or name in sys.stdlib_module_names:
        return f"another module is called {name}: choose a name such as {name}_env"
    return None


def _is_needed(name: str) -> bool:
    """Whether openenv, or one of its extras, requires a distribution or module of this name."""
    needed = {
        _plain(re.split(r"[^\w.-]", requirement)[0]) for requirement in requires("openenv") or ()
    }
    return not needed.isdisjoint(map(_plain, [name, *packages_distributions().get(name, ())]))


def _plain(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def write_environment(name: str, folder: Path, template: Template = Template.MINIMAL) -> list[Path]:
    """Write a new environment into a folder, which must be empty or not exist.

    Returns the paths of its files, relative to the folder. Writes all of them or none. Raises
    ConfigurationError.
    """
    unfit = why_unfit(name)
    if unfit is not None:
        raise ConfigurationError(unfit)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError(
            f"{folder} exists and is not an empty folder: choose another place"
        )
    names = Names(name)
    words = {
        "name": name,
        "stem": names.stem,
        "prefix": names.prefix,
        "title": names.title,
        "image": names.stem.replace("_", "-").lower(),
        "description": _DESCRIPTIONS[template],
        "requirements": _REQUIREMENTS[template],
    }
    files = {
        _filled(path, words): _filled((layer / f"{path}{SUFFIX}").read_text("utf-8"), words)
        for layer in (TEMPLATES / "shared", TEMPLATES / template.value)
        for path in _paths(layer)
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{name}-", dir=folder.parent) as temporary:
        made = Path(temporary) / "made"
        for path, text in files.items():
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            (made / path).write_text(text, encoding="utf-8", newline="\n")
        os.rename(made, folder)
    return sorted(map(Path, files))


def _paths(layer: Path) -> list[str]:
    """Return the paths of a layer's files, without their suffix."""
    files = layer.rglob(f"*{SUFFIX}")
    return sorted(file.relative_to(layer).as_posix().removesuffix(SUFFIX) for file in files)


def _filled(text: str, words: dict[str, str]) -> str:
    return _WORD.sub(lambda match: words[match.group(1)], text)
