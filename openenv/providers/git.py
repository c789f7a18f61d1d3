"""GitSource: a folder of a git repository, given by a URL as pip writes it.

Owns the form `git+https://host/repository@revision#subdirectory=folder` and the commands that fetch
one revision. Runs nothing: uv.py runs the commands. Its caller decides whether to trust the code.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit, urlunsplit

from openenv.errors import ConfigurationError, ProviderUnavailable

# Fail instead of asking for a password, because no terminal is attached; and skip files in Git LFS,
# which a server does not need to start.
ENVIRON = {"GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1"}

_FORM = re.compile(r"git\+(https|http|ssh|file)://.+")


@dataclass(frozen=True)
class GitSource:
    """A folder in one revision of a repository."""

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
        """Return the commands that fetch the revision into an existing folder."""
        here = [git, "-C", str(checkout)]
        return [
            [*here, "init", "--quiet"],
            [*here, "fetch", "--quiet", "--depth", "1", "--", self.url, self.revision or "HEAD"],
            [*here, "checkout", "--quiet", "FETCH_HEAD"],
        ]

    @property
    def name(self) -> str:
        """The last part of the path, which names the Python package if nothing else does."""
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
