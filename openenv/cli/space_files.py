"""Chooses the files of an environment's folder for a Space, and adapts README and Dockerfile.

A Space builds the Dockerfile at its root, and reads its settings from the README. Uploads nothing:
see hub/spaces.py.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from fnmatch import fnmatch
from typing import TYPE_CHECKING

from openenv.cli.images import Recipe, staged
from openenv.errors import ConfigurationError
from openenv.hub.spaces import README, with_front_matter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

DOCKERFILE = "Dockerfile"
BASE_IMAGE = "BASE_IMAGE"

# Always excluded: these files may hold secrets, or are of no use on another machine.
_NEVER = (".env", ".env.*", "*.pyc", "*.egg-info", ".DS_Store", ".coverage")


@contextmanager
def space_files(
    recipe: Recipe, excluded: Sequence[str] = (), *, has_interface: bool = True
) -> Iterator[dict[str, Path | bytes]]:
    """Yield the files of a Space: path -> content, or a file that exists during the block.

    `excluded` are patterns of paths, or of the last parts of paths. Raises ConfigurationError.
    """
    folder = recipe.manifest.path.parent.resolve()
    if recipe.context != folder:
        raise ConfigurationError(
            f"{recipe.dockerfile} copies from {recipe.context}, but a Space holds {folder.name} "
            "alone: copy from there only"
        )
    with staged(recipe, _NEVER) as (context, dockerfile):
        files = {path: file for path, file in _files_in(context) if not _matches(path, excluded)}
        text = with_arguments(dockerfile.read_text("utf-8"), recipe.build_args)
        files[DOCKERFILE] = text.encode()
        readme = folder / README
        text = readme.read_text("utf-8") if readme.is_file() else f"# {recipe.manifest.name}\n"
        matter = with_front_matter(text, recipe.manifest, has_interface=has_interface)
        files[README] = matter.encode()
        yield files


def read_patterns(file: Path | None) -> list[str]:
    """Return the patterns in a file, one per line; lines that begin with # are comments."""
    if file is None:
        return []
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--exclude {file} cannot be read: {error}") from error
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def has_argument(dockerfile: str, name: str) -> bool:
    """Whether a Dockerfile has an ARG of this name."""
    return _argument_line(name).search(dockerfile) is not None


def with_arguments(dockerfile: str, arguments: Mapping[str, str]) -> str:
    """Return a Dockerfile with these defaults for its ARGs: a Space builds without arguments."""
    for name, value in arguments.items():
        written = _quoted(value).replace("\\", "\\\\")
        dockerfile = _argument_line(name).sub(rf"\g<1>={written}", dockerfile)
    return dockerfile


def _argument_line(name: str) -> re.Pattern[str]:
    return re.compile(rf"^(\s*ARG\s+{re.escape(name)})\b.*$", re.MULTILINE | re.IGNORECASE)


def _quoted(value: str) -> str:
    if re.fullmatch(r"[\w./:@-]*", value):
        return value
    return '"' + re.sub(r'(["\\$])', r"\\\1", value) + '"'


def _files_in(folder: Path) -> Iterator[tuple[str, Path | bytes]]:
    """Yield the files below a folder by their paths; skip links that lead out of the folder."""
    home = folder.resolve()
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.resolve().is_relative_to(home):
            yield file.relative_to(folder).as_posix(), file


def _matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether a path, a folder that it is in, or the last part of either matches a pattern."""
    parts = path.split("/")
    candidates = ["/".join(parts[: end + 1]) for end in range(len(parts))] + parts
    return any(
        fnmatch(candidate, pattern.rstrip("/")) for candidate in candidates for pattern in patterns
    )
