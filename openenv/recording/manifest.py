"""Manifest: what a recording's run was asked for, so that only the same run resumes it.

Lies beside the recording, or the part of it, as `<file>.manifest`, from the run's first moment.
Knows nothing of episodes (format.py) and of how they are written (recorder.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from openenv.errors import ConfigurationError

if TYPE_CHECKING:
    from os import PathLike

SUFFIX = ".manifest"


class RunManifest(msgspec.Struct):
    """What decides what an episode of the run is; how many there are may grow."""

    version: int
    seed: int | None
    max_turns: int | None
    reset_options: dict[str, Any]


def manifest_path(recording: str | PathLike[str]) -> Path:
    """Return where the manifest of a recording lies."""
    path = Path(recording)
    return path.with_name(path.name + SUFFIX)


def write(recording: str | PathLike[str], manifest: RunManifest) -> None:
    """Write the manifest of a run that begins. Raises ConfigurationError."""
    path = manifest_path(recording)
    try:
        path.write_bytes(msgspec.json.encode(manifest) + b"\n")
    except (OSError, TypeError) as error:
        raise ConfigurationError(f"cannot write {path}: {error}") from error


def move(source: Path, target: Path) -> None:
    """Let a recording's manifest, or that it has none, follow it to another name."""
    if manifest_path(source).exists():
        manifest_path(source).replace(manifest_path(target))
    else:
        manifest_path(target).unlink(missing_ok=True)


def check(recording: str | PathLike[str], manifest: RunManifest) -> None:
    """Raise ConfigurationError unless the recording is of a run like this one."""
    path = manifest_path(recording)
    try:
        before = msgspec.json.decode(path.read_bytes(), type=RunManifest)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"cannot resume {recording}: its manifest cannot be read ({error}); "
            "choose another file, or overwrite it"
        ) from error
    now = msgspec.json.decode(msgspec.json.encode(manifest), type=RunManifest)
    changed = [
        f"{name} was {getattr(before, name)!r} and is {getattr(now, name)!r}"
        for name in RunManifest.__struct_fields__
        if getattr(before, name) != getattr(now, name)
    ]
    if changed:
        raise ConfigurationError(
            f"cannot resume {recording}, which is of another run: {'; '.join(changed)}"
        )
