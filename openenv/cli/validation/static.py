"""An environment's folder as it lies there: what has to be in it, and what leads nowhere.

Looks at files and at what probe.py has imported; starts no server. What is required is what openenv
itself needs to serve, build and install the environment.
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from openenv.cli.images import DOCKERFILES
from openenv.cli.validation.report import Criterion
from openenv.errors import ConfigurationError
from openenv.manifest import MANIFEST, Manifest, examine_manifest
from openenv.payloads import PAYLOADS
from openenv.providers.child import Child, last_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openenv.cli.validation.report import Report

_FILES = ("README.md", "__init__.py", "client.py", "models.py")


def examine_folder(folder: Path, report: Report) -> None:
    """Look at the files of an environment and add what is found to the report."""
    try:
        manifest, problems = examine_manifest(folder)
    except ConfigurationError as error:
        report.criteria.append(_criterion("manifest", f"{MANIFEST} can be read", [str(error)]))
        return
    errors = [
        f"{manifest.path}:{problem.line}: {problem.message}"
        for problem in problems
        if problem.is_error
    ]
    notes = [
        f"{manifest.path}:{problem.line}: {problem.message}"
        for problem in problems
        if not problem.is_error
    ]
    report.environment = manifest.name
    project, project_errors = _project(folder)
    scripts = project.get("scripts") or {}
    script = scripts.get("server") if isinstance(scripts, dict) else None
    report.criteria += [
        _criterion("manifest", f"{MANIFEST} says what openenv understands", errors),
        _criterion("manifest_keys", "the manifest has no unknown keys", notes, required=False),
        _criterion("layout", "the usual files are there", _missing(folder), required=False),
        _criterion("project", "pyproject.toml makes it installable", project_errors),
        _criterion(
            "server_script",
            "[project.scripts] has a server, which can be run as a module too",
            [*_script_problems(script), *_main_problems(folder)],
            required=False,
        ),
        _criterion(
            "dependencies",
            "what the manifest needs is in pyproject.toml",
            list(_undeclared(manifest, project)),
            required=False,
        ),
        _criterion(
            "dockerfile",
            "a Dockerfile makes a safe image",
            _image(folder, manifest),
            required=False,
        ),
    ]
    can_serve = not errors
    report.deployment_modes = {
        "docker": _dockerfile(folder, manifest) is not None,
        "openenv_serve": can_serve,
        "uv_run": not project_errors and script is not None,
        "python_module": not _main_problems(folder),
    }


def examine_imports(folder: Path, report: Report, timeout_s: float) -> None:
    """Import the environment, judge what is found, and add it to the report."""
    manifest, _ = examine_manifest(folder)
    probed = _found_inside(folder, timeout_s)
    error = probed.get("error")
    report.criteria.append(
        _criterion("import", "the app can be imported", [error] if error else [])
    )
    if error:
        return
    own = probed.get("environment")
    report.criteria.append(
        _criterion(
            "environment",
            "the app serves an Environment",
            [] if own else [f"{manifest.place('app')}: {manifest.app} is no app of openenv's"],
            details=f"{own}, {probed.get('execution')}",
        )
    )
    if own:
        report.criteria.append(
            _criterion(
                "payloads",
                "actions, observations and states have named fields",
                list(_untyped(probed["payloads"])),
                required=False,
            )
        )
    report.criteria.append(
        _criterion(
            "names", "what the manifest names is there", list(_wrong_names(manifest, probed))
        )
    )


def _criterion(
    name: str, description: str, problems: list[str], *, required: bool = True, details: str = ""
) -> Criterion:
    return Criterion(
        id=name,
        description=description,
        status="failed" if problems else "passed",
        required=required,
        details="\n".join(problems) or details,
        actual={"issues": problems} if problems else None,
    )


# ---- files


def _missing(folder: Path) -> list[str]:
    return [f"there is no {name}" for name in _FILES if not (folder / name).is_file()]


def _project(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the table [project], and what is wrong with it."""
    path = folder / "pyproject.toml"
    try:
        table = tomllib.loads(path.read_text("utf-8")).get("project")
    except FileNotFoundError:
        return {}, ["there is no pyproject.toml: `openenv init` shows what is in one"]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        return {}, [f"{path} is not valid TOML: {error}"]
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        return {}, [f"{path} has no [project] with a name"]
    wrong = []
    if not any(name.startswith("openenv") for name in _requirements(table)):
        wrong.append(f"{path}: no dependency on openenv: add 'openenv>=1.0.0.dev0'")
    return table, wrong


def _requirements(project: dict[str, Any]) -> list[str]:
    """Return the names of all distributions that a project may need, as they are compared."""
    extras = project.get("optional-dependencies") or {}
    listed = [
        *(project.get("dependencies") or ()),
        *(requirement for group in extras.values() for requirement in group),
    ]
    return [_distribution(str(requirement)) for requirement in listed]


def _distribution(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9][\w.-]*", requirement.strip())
    return re.sub(r"[-_.]+", "-", name[0]).lower() if name else ""


def _undeclared(manifest: Manifest, project: dict[str, Any]) -> Iterator[str]:
    declared = _requirements(project)
    for needed in manifest.dependencies:
        if _distribution(needed) not in declared:
            place = manifest.place("dependencies")
            yield f"{place}: {needed} is not in pyproject.toml, from where it would be installed"


def _script_problems(script: Any) -> list[str]:
    if isinstance(script, str) and ":main" in script:
        return []
    return ["[project.scripts] has no line such as server = 'my_env.server.app:main'"]


def _main_problems(folder: Path) -> list[str]:
    """Return why `python -m my_env.server.app` would serve nothing."""
    path = folder / "server" / "app.py"
    try:
        tree = ast.parse(path.read_text("utf-8"))
    except FileNotFoundError:
        return ["there is no server/app.py"]
    except (SyntaxError, UnicodeDecodeError) as error:
        return [f"{path}: {error}"]
    has_main = any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body)
    has_guard = any(
        isinstance(node, ast.If) and "__name__" in ast.dump(node.test) for node in tree.body
    )
    return [
        *([] if has_main else [f"{path} defines no main()"]),
        *([] if has_guard else [f"{path} has no if __name__ == '__main__': main()"]),
    ]


def _dockerfile(folder: Path, manifest: Manifest) -> Path | None:
    names = (manifest.dockerfile,) if manifest.dockerfile else DOCKERFILES
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _image(folder: Path, manifest: Manifest) -> list[str]:
    path = _dockerfile(folder, manifest)
    if path is None:
        named = manifest.dockerfile
        if named:
            return [f"{manifest.place('server.dockerfile')}: there is no {named}"]
        return [f"there is no Dockerfile, neither {' nor '.join(DOCKERFILES)}"]
    text = path.read_text("utf-8", "replace")
    instructions = re.findall(r"(?im)^\s*([A-Z]+)\s+(.*)", text)
    users = [rest.strip() for word, rest in instructions if word.upper() == "USER"]
    words = {word.upper() for word, _ in instructions}
    wrong = [] if "FROM" in words else [f"{path} has no FROM"]
    if not users or re.match(r"(root|0)\b", users[-1]):
        wrong.append(f"{path}: it runs as root: add USER 1000:1000")
    if "HEALTHCHECK" not in words:
        wrong.append(f"{path}: without a HEALTHCHECK nobody sees when it is ready")
    exposed = " ".join(rest for word, rest in instructions if word.upper() == "EXPOSE")
    ports = re.findall(r"(?<!\S)(\d+)(?:/tcp)?(?!\S)", exposed)
    if ports and str(manifest.port) not in ports:
        place = manifest.place("server.port" if "server.port" in manifest.lines else "port")
        wrong.append(
            f"{place}: the port is {manifest.port}, where a Space would look for it, but {path} "
            f"exposes {' '.join(ports)}"
        )
    return wrong


# ---- what was imported


def _found_inside(folder: Path, timeout_s: float) -> dict[str, Any]:
    """Return what probe.py finds, in a process of its own, which may hang or end."""
    with TemporaryDirectory() as temporary:
        report_path, log = Path(temporary, "found.json"), Path(temporary, "log")
        probe = [
            sys.executable,
            "-m",
            "openenv.cli.validation.probe",
            str(folder),
            str(report_path),
        ]
        child = Child(lambda _: probe, os.environ, log)
        try:
            child.line(timeout_s)
        except TimeoutError:
            return {"error": f"{folder} was not imported within {timeout_s:g} s"}
        finally:
            child.stop()
        if not report_path.is_file():
            return {"error": f"{folder} cannot be imported:\n{last_lines(log)}"}
        return json.loads(report_path.read_bytes())  # type: ignore[no-any-return]


def _untyped(payloads: dict[str, Any]) -> Iterator[str]:
    for name in PAYLOADS:
        if not payloads[name]["schema"].get("properties"):
            yield f"the {name} has no fields: clients cannot know what is in it"


def _wrong_names(manifest: Manifest, probed: dict[str, Any]) -> Iterator[str]:
    client = probed.get("client", {})
    if "error" in client:
        yield f"{manifest.place('client')}: {client['error']}"
    served = probed.get("payloads", {})
    for name, named in probed.get("named", {}).items():
        key = f"models.{name}" if f"models.{name}" in manifest.lines else name
        if "error" in named:
            yield f"{manifest.place(key)}: {named['error']}"
        elif served and served[name]["class"] not in (named["class"], None):
            yield (
                f"{manifest.place(key)}: {named['class']} is not what is served, which is "
                f"{served[name]['class']}"
            )
