"""RunManifest: the settings of a recording's run, so that only the same run can resume it.

It is the file `<file>.manifest` beside the recording or its part, written when the run begins. Does
not know episodes (format.py) or how they are written (recorder.py).
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
    """The settings that must be equal to resume a run. Only the number of episodes may grow."""

    version: int
    seed: int | None
    max_turns: int | None
    reset_options: dict[str, Any]


def manifest_path(recording: str | PathLike[str]) -> Path:
    """Return the path of a recording's manifest."""
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
    """Rename the manifest of `source` to that of `target`, as its recording is renamed.

    If `source` has no manifest, remove that of `target`, which belongs to an older file.
    """
    if manifest_path(source).exists():
        manifest_path(source).replace(manifest_path(target))
    else:
        manifest_path(target).unlink(missing_ok=True)


def check(recording: str | PathLike[str], manifest: RunManifest) -> None:
    """Raise ConfigurationError unless the recording has been made with the same settings."""
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
