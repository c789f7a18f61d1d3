"""Folders from git repositories, as pip writes their URLs.

Owns the form `git+https://host/repository@revision#subdirectory=folder` and one shallow clone. What
is done with the folder is the caller's affair, and so is whether its code may be trusted.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs, urlsplit, urlunsplit

from openenv.errors import ConfigurationError, ProviderError, ProviderUnavailable

if TYPE_CHECKING:
    import threading

_FORM = re.compile(r"git\+(https|http|ssh|file)://.+")


@dataclass(frozen=True)
class GitSource:
    """Where a folder is."""

    url: str
    revision: str
    "A branch, a tag or a commit."
    subdirectory: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `git+https://host/repository@revision#subdirectory=folder`."""
        if not is_git_url(text):
            raise ConfigurationError(
                f"{text!r} is no URL of a git repository, such as "
                "git+https://host/repository@main#subdirectory=envs/my_env"
            )
        parts = urlsplit(text.removeprefix("git+"))
        path, _, revision = parts.path.partition("@")
        folder = parse_qs(parts.fragment).get("subdirectory", [""])[0].strip("/")
        if ".." in Path(folder).parts or revision.startswith("-"):
            raise ConfigurationError(f"{text!r} leads out of the repository")
        return cls(urlunsplit((parts.scheme, parts.netloc, path, "", "")), revision, folder)

    @property
    def name(self) -> str:
        """What the folder is called: its Python package, if it has no other name."""
        return Path(self.subdirectory or self.url).name.removesuffix(".git")


def is_git_url(text: str) -> bool:
    """Whether this is the URL of a git repository, as pip writes it."""
    return _FORM.fullmatch(text) is not None


def clone(text: str, parent: Path, is_cancelled: threading.Event | None = None) -> Path:
    """Fetch one revision into a folder below `parent`; return the one that the URL names.

    Raises ProviderError with what git says.
    """
    source = GitSource.parse(text)
    checkout = parent / (source.name if not source.subdirectory else "repository")
    checkout.mkdir(parents=True)
    for command in (
        ("init", "--quiet"),
        ("fetch", "--quiet", "--depth", "1", "--", source.url, source.revision or "HEAD"),
        ("checkout", "--quiet", "FETCH_HEAD"),
    ):
        if is_cancelled is not None and is_cancelled.is_set():
            raise ProviderError(f"fetching {text} was given up")
        _git(command, checkout, text)
    folder = checkout / source.subdirectory
    if not folder.is_dir():
        raise ConfigurationError(f"{text}: the repository has no folder {source.subdirectory}")
    return folder


def _git(command: tuple[str, ...], folder: Path, text: str) -> None:
    # Nobody is there to be asked for a password; large files are not what makes a server start.
    environ = os.environ | {"GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1"}
    try:
        subprocess.run(
            ["git", *command],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=True,
        )
    except FileNotFoundError as error:
        raise ProviderUnavailable(f"{text} needs git, which is not installed") from error
    except subprocess.CalledProcessError as error:
        raise ProviderError(f"git cannot fetch {text}: {error.stderr.strip()}") from error
