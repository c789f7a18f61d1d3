"""Finds the environments on this machine, and the one that a name means.

Searches the working directory and its repository, openenv's own checkout, and the installed
distributions; caches nothing, and imports none of the environments. spaces.py knows Spaces, and
classes.py imports an environment's classes.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import re
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from openenv.errors import ConfigurationError
from openenv.manifest import MANIFEST, Manifest, read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ENTRY_POINTS = "openenv.envs"
"The group of entry points with which a distribution names the packages of its environments."
PREFIX = "openenv-"
"The prefix of the names of environments' distributions."

Origin = Literal["here", "installed", "folder", "space"]

_OTHERS = ("openenv", "openenv-core")
_BELOW = ("", "envs", "src/envs")
"The folders of a working directory or repository in which environments are looked for."


@dataclass(frozen=True)
class LocalEnvironment:
    """An environment on this machine."""

    folder: Path
    "The folder of its package, and of its manifest if it has one."
    origin: Origin
    module: str | None = None
    "The name by which it is imported, if it is installed."
    distribution: str | None = None
    "Name and version of the distribution that installed it, or the downloaded Space and commit."

    @property
    def name(self) -> str:
        """The name in the manifest; if that is wrong, the name of the module or folder."""
        try:
            return self.manifest.name
        except ConfigurationError:
            return self._called

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest; a default one if the package has none. Raises ConfigurationError."""
        if self.has_manifest or self.module is None:
            return read_manifest(self.folder)
        return Manifest(path=self.folder / MANIFEST, name=self._called)

    @property
    def has_manifest(self) -> bool:
        """Whether the folder has a manifest."""
        return (self.folder / MANIFEST).is_file()

    @property
    def problem(self) -> str | None:
        """What is wrong with its manifest; None if it can be read."""
        try:
            self.manifest  # noqa: B018 (reading it is the point)
        except ConfigurationError as error:
            return str(error)
        return None

    @property
    def place(self) -> str:
        """The folder, as a user would write it."""
        inside = self.folder.is_relative_to(Path.cwd())
        return f"./{self.folder.relative_to(Path.cwd())}" if inside else str(self.folder)

    @property
    def keys(self) -> set[str]:
        """The keys (`key_of`) of all names that mean this environment."""
        names = {self.name, self._called, (self.distribution or "").partition(" ")[0]}
        return {key_of(name) for name in names if name}

    @property
    def _called(self) -> str:
        return (self.module or self.folder.name).rpartition(".")[2]


def key_of(name: str) -> str:
    """Return the key by which names are compared: the same for coding-env and openenv-coding."""
    key = re.sub(r"[-_. ]+", "_", name.lower()).strip("_")
    return key.removeprefix("openenv_").removesuffix("_env") or key


def discover() -> list[LocalEnvironment]:
    """Return all environments on this machine, sorted by name."""
    by_folder: dict[Path, LocalEnvironment] = {}
    for found in (*_installed(), *_lying_about()):
        by_folder.setdefault(found.folder, found)
    return sorted(by_folder.values(), key=lambda found: (found.name, str(found.folder)))


def find(name: str) -> LocalEnvironment:
    """Return the environment of this name, or in this folder.

    Raises ConfigurationError, which lists environments of similar names if there is none of this
    name, or all of this name if there are several.
    """
    if is_folder(name):
        return in_folder(Path(name))
    if os.sep in name:
        raise ConfigurationError(f"there is no folder {name} (from {Path.cwd()})")
    everything = discover()
    found = [one for one in everything if key_of(name) in one.keys]
    # `chat` and `chat_env` have the same key but may be two environments: prefer the exact name.
    found = [one for one in found if one.name == name] or found
    if not found:
        raise ConfigurationError(_unknown(name, everything))
    if len(found) > 1:
        places = "".join(f"\n  {one.place} ({_origin(one)})" for one in found)
        raise ConfigurationError(
            f"there are {len(found)} environments of the name {name!r}:{places}\n"
            "give the folder of the one that you mean, as it is written here"
        )
    return found[0]


def is_folder(name: str) -> bool:
    """Whether a name is written as a path, and the folder exists."""
    written_as_path = os.sep in name or name in (os.curdir, os.pardir)
    return written_as_path and Path(name).expanduser().is_dir()


def in_folder(folder: Path) -> LocalEnvironment:
    """Return the environment in a folder. Raises ConfigurationError if there is none."""
    home = folder.expanduser().resolve()
    if not (home / MANIFEST).is_file():
        raise ConfigurationError(f"{folder} is no environment: it holds no {MANIFEST}")
    return LocalEnvironment(home, "folder")


# ---- installed environments


def _installed() -> Iterator[LocalEnvironment]:
    importlib.invalidate_caches()
    for distribution in distributions():
        name = re.sub(r"[-_.]+", "-", distribution.name or "").lower()
        for module in _modules(distribution, name):
            folder = _folder_of(module)
            if folder is not None:
                described = f"{distribution.name} {distribution.version}"
                yield LocalEnvironment(folder, "installed", module, described)


def _modules(distribution: Distribution, name: str) -> Iterable[str]:
    """Return the packages of a distribution's environments: by entry points, or else guessed."""
    named = [one.value for one in distribution.entry_points if one.group == ENTRY_POINTS]
    if named:
        return [value.partition(":")[0] for value in named]
    if not name.startswith(PREFIX) or name in _OTHERS:
        return ()
    rest = name.removeprefix(PREFIX).replace("-", "_")
    guessed = [rest, rest if rest.endswith("_env") else f"{rest}_env"]
    return [one for one in dict.fromkeys(guessed) if _looks_like_one(_folder_of(one))]


def _looks_like_one(folder: Path | None) -> bool:
    return folder is not None and any(
        (folder / file).is_file() for file in (MANIFEST, "client.py", "models.py")
    )


def _folder_of(module: str) -> Path | None:
    """Return the folder of an installed package, without importing it."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    for place in (spec and spec.submodule_search_locations) or ():
        folder = Path(place, *rest)
        if folder.is_dir():
            return folder.resolve()
    return None


# ---- environments in folders


def _lying_about() -> Iterator[LocalEnvironment]:
    for place in _places():
        for below in _BELOW:
            parent = place / below
            if (parent / MANIFEST).is_file():
                yield LocalEnvironment(parent.resolve(), "here")
            for manifest in sorted(parent.glob(f"*/{MANIFEST}")):
                yield LocalEnvironment(manifest.parent.resolve(), "here")


def _places() -> list[Path]:
    """Return the working directory, the repository around it, and openenv's own."""
    here = Path.cwd()
    repository = next((place for place in (here, *here.parents) if (place / ".git").exists()), here)
    if repository.stat().st_uid != here.stat().st_uid:
        repository = here  # do not search the repository of another user, such as one in /tmp
    own = Path(__file__).parents[2]
    checkout = [own] if (own / "pyproject.toml").is_file() else []
    return list(dict.fromkeys((here, repository, *checkout)))


# ---- messages


def _origin(found: LocalEnvironment) -> str:
    return found.distribution or "not installed"


def _unknown(name: str, everything: list[LocalEnvironment]) -> str:
    by_key = {key: one.name for one in everything for key in one.keys}
    near = difflib.get_close_matches(key_of(name), by_key, n=3, cutoff=0.6)
    meant = " or ".join(dict.fromkeys(by_key[key] for key in near))
    names = ", ".join(dict.fromkeys(one.name for one in everything)) or "none"
    question = f"did you mean {meant}? " if meant else ""
    return (
        f"there is no environment {name!r}: {question}There are: {names}. Others are installed "
        "with pip, given by their folder, or by the id of a Space (org/name)"
    )
