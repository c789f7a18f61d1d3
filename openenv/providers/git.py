"""Folders from git repositories, as pip writes their URLs.

Owns the form `git+https://host/repository@revision#subdirectory=folder`, and how one revision of it
is fetched. Who runs that is uv.py's affair, and whether the code may be trusted its caller's.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit, urlunsplit

from openenv.errors import ConfigurationError, ProviderUnavailable

# Nobody is there to be asked for a password; large files are not what makes a server start.
ENVIRON = {"GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1"}

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

    def commands(self, git: str, checkout: Path) -> list[list[str]]:
        """Return the commands that fetch the revision into a folder, which exists."""
        here = [git, "-C", str(checkout)]
        return [
            [*here, "init", "--quiet"],
            [*here, "fetch", "--quiet", "--depth", "1", "--", self.url, self.revision or "HEAD"],
            [*here, "checkout", "--quiet", "FETCH_HEAD"],
        ]

    @property
    def name(self) -> str:
        """What the folder is called: its Python package, if it has no other name."""
        return Path(self.subdirectory or self.url).name.removesuffix(".git")


def is_git_url(text: str) -> bool:
    """Whether this is the URL of a git repository, as pip writes it."""
    return _FORM.fullmatch(text) is not None


def find_git() -> str:
    """Return the path of git. Raises ProviderUnavailable."""
    path = shutil.which("git")
    if path is None:
        raise ProviderUnavailable("environments from repositories need git, which is not installed")
    return path
