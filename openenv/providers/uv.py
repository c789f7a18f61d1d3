"""UVProvider: runs an environment's server on this machine, in an installation made by uv.

Owns what is installed: the environment, its requirements, and a wheel of the openenv that runs
here. process.py has the rest of the provider; git.py knows how to fetch a repository.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import tomllib
from functools import partial
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openenv.errors import ConfigurationError, ProviderError, ProviderUnavailable, StartupFailed
from openenv.manifest import MANIFEST, read_manifest
from openenv.providers import git
from openenv.providers.child import Child, last_lines
from openenv.providers.process import RuntimeProvider, folder_of, serve_command
from openenv.wheel import write_wheel

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

INSTALL_TIMEOUT_S = 1800.0
"How long an installation may take. It is long because some environments download torch."

_VERSION = ">=1.0.0.dev0"
# Environments of the published releases require openenv-core, whose files would overwrite ours.
# The marker of this override is never true, so uv leaves the package out.
_LEFT_OUT = "openenv-core ; python_version < '3'"
_PUBLISHED = re.compile(r"openenv[-_.]core\b|openenv\[(.*\W)?core\W")


class UVProvider(RuntimeProvider):
    """Serves an environment's folder, or a git repository's, by `uv run --isolated`.

    A repository is `git+https://host/repository@revision#subdirectory=envs/my_env`; its code runs
    on this machine, with this user's rights. `app` is served in place of the manifest's.
    """

    def __init__(
        self,
        target: str | os.PathLike[str] | None = None,
        *,
        project_path: str | os.PathLike[str] | None = None,
        app: str | None = None,
        python: str | None = None,
        install_timeout_s: float = INSTALL_TIMEOUT_S,
        reload: bool = False,
        **options: Any,
    ) -> None:
        """Keep what to start; `project_path` is another name of `target`."""
        if reload:
            raise ConfigurationError("reload: a server is not begun anew under its clients")
        super().__init__(project_path if target is None else target, **options)
        self._app = app
        self._python = python
        self._install_timeout_s = install_timeout_s

    def _run(
        self,
        target: str,
        port: int,
        options: Mapping[str, Any],
        environ: Mapping[str, str],
        log: Path,
    ) -> None:
        uv = find_uv()
        # The lifeline of the server removes it when the server has ended; until the server starts,
        # the lifelines of failed commands and the handler below do.
        home = Path(tempfile.mkdtemp(prefix="openenv-uv-"))
        try:
            # These variables would point uv and Python to the client's own installation.
            environ = {k: v for k, v in environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
            prepare = partial(self._prepare, environ | git.ENVIRON, log, home)
            folder = self._folder(target, home, prepare)
            served = self._served(folder)
            run = self._project(uv, folder, home)
            # Install first, so that the server's start timeout does not include the installation.
            prepare([*run, "python", "-c", ""], f"uv cannot install {target}")
            command = (*run, "openenv")
            serve = partial(serve_command, command, served, port, options)
            child = Child(serve, environ, log, home)
        except BaseException:
            shutil.rmtree(home, ignore_errors=True)
            raise
        self._begin(child)

    def _folder(self, target: str, home: Path, prepare: Callable[[list[str], str], None]) -> Path:
        if not git.is_git_url(target):
            folder = folder_of(target)
            if folder is None:
                raise ConfigurationError(f"{target}: uv takes a folder or a git URL, not a module")
            return folder.resolve()
        source = git.GitSource.parse(target)
        # Without a subdirectory the repository is the environment's package: name it so.
        name = source.name if not source.subdirectory else "repository"
        checkout = home / "source" / name
        checkout.mkdir(parents=True)
        for command in source.commands(git.find_git(), checkout):
            prepare(command, f"git cannot fetch {target}")
        folder = checkout / source.subdirectory
        if not folder.is_dir():
            raise ConfigurationError(
                f"{target}: the repository has no folder {source.subdirectory}"
            )
        return folder

    def _served(self, folder: Path) -> str:
        if self._app is None and not (folder / MANIFEST).is_file():
            raise ConfigurationError(f"{folder} holds no {MANIFEST}: say what to serve with app=")
        if self._app is None or read_manifest(folder).app == self._app:
            return str(folder)
        return self._app

    def _project(self, uv: str, folder: Path, home: Path) -> tuple[str, ...]:
        """Write a project with the environment and our wheel; return the command to run in it."""
        wheels = home / "wheels"
        wheels.mkdir()
        write_wheel(wheels)
        project = home / "project"
        project.mkdir()
        name, needs, extras = _requirement(folder)
        lines = [
            "[project]",
            'name = "openenv-uv"',
            'version = "0"',
            'requires-python = ">=3.11"',
            f"dependencies = {json.dumps([*needs, f'openenv[{extras}]{_VERSION}'])}",
            "[tool.uv]",
            f"override-dependencies = {json.dumps([_LEFT_OUT])}",
            f"find-links = {json.dumps([str(wheels)])}",
            "package = false",
        ]
        if name is not None:
            where = json.dumps(str(folder))
            lines += ["[tool.uv.sources]", f"{name} = {{ path = {where}, editable = true }}"]
        (project / "pyproject.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
        python = ("--python", self._python) if self._python else ()
        return (uv, "run", "--isolated", "--project", str(project), *python, "--")

    def _prepare(
        self, environ: Mapping[str, str], log: Path, home: Path, command: list[str], failed: str
    ) -> None:
        """Run a command to its end, as a Child. Raises StartupFailed, ProviderError."""
        child = self._begin(Child(lambda _: command, environ, log, home, keeps_folder=True))
        try:
            child.line(self._install_timeout_s)
        except TimeoutError:
            raise ProviderError(
                f"{failed} within {self._install_timeout_s:g} s (its output is in {log})"
            ) from None
        finally:
            self._stop()
        if self._is_cancelled.is_set():
            raise ProviderError(f"{failed}: it was given up")
        if child.exit_code:
            lines = last_lines(log)
            raise StartupFailed(f"{failed}:\n{lines}", exit_code=child.exit_code, last_lines=lines)


def find_uv() -> str:
    """Return the path of uv. Raises ProviderUnavailable."""
    path = shutil.which("uv")
    if path is None:
        try:
            from uv import find_uv_bin  # noqa: PLC0415 - optional, and only needed here

            path = str(find_uv_bin())
        except (ImportError, FileNotFoundError):
            raise ProviderUnavailable(
                "environments with an installation of their own need uv: pip install uv"
            ) from None
    return path


def missing_here(folder: Path) -> list[str]:
    """Return the distributions that an environment requires and this Python lacks.

    Versions are not compared.
    """
    project = _project_table(folder)
    needs = [
        *project.get("dependencies", ()),
        *project.get("optional-dependencies", {}).get("server", ()),
    ]
    # Skip requirements with a marker: they may not apply to this machine.
    plain = [
        requirement
        for requirement in (needs if project else _listed(folder))
        if ";" not in requirement
    ]
    names = dict.fromkeys(
        match[0] for requirement in plain if (match := re.match(r"[\w.-]+", requirement))
    )
    return [name for name in names if not name.startswith("openenv") and not _is_installed(name)]


def _is_installed(name: str) -> bool:
    return next(iter(distributions(name=name)), None) is not None


def _requirement(folder: Path) -> tuple[str | None, list[str], str]:
    """Return a folder's distribution name or None, its requirements, and the extras of ours."""
    project = _project_table(folder)
    name = project.get("name")
    if name is None:
        return None, _listed(folder), "cli"
    extra = "[server]" if "server" in project.get("optional-dependencies", {}) else ""
    is_published = any(map(_PUBLISHED.match, project.get("dependencies", ())))
    return name, [f"{name}{extra}"], "cli,compat,fastapi" if is_published else "cli"


def _project_table(folder: Path) -> dict[str, Any]:
    """Return the table [project] of a folder's pyproject.toml, empty if there is none."""
    path = folder / "pyproject.toml"
    try:
        return tomllib.loads(path.read_text("utf-8")).get("project", {})  # type: ignore[no-any-return]
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is no TOML: {error}") from error


def _listed(folder: Path) -> list[str]:
    """Return the requirements files' lines for a folder that is not a distribution."""
    for file in (folder / "server/requirements.txt", folder / "requirements.txt"):
        if file.is_file():
            lines = (
                re.sub(r"(^|\s)#.*", "", line).strip() for line in file.read_text().split("\n")
            )
            return [line for line in lines if line and not line.startswith("-")]
    return []
