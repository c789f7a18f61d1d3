"""Recorder: writes episodes to a file as they end, so that a finished one is never lost.

Each line is written to `<path>.part` at once and unbuffered; at the end of the run the part is
renamed to `<path>`. So `<path>` always holds a complete run. If a run is killed, its part remains
and can be read to its last complete line (`format.read`). The manifest is renamed with its file. A
path that ends in `.zst` is compressed (lines.py).
"""

from __future__ import annotations

import logging
import os
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import TYPE_CHECKING, Self

from openenv.errors import ConfigurationError
from openenv.recording.format import Episode, encode, read
from openenv.recording.lines import is_packed, packer, whole_bytes
from openenv.recording.manifest import check, manifest_path, move, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from openenv.recording.manifest import RunManifest

logger = logging.getLogger("openenv.recording")

PART = ".part"


class Recorder:
    """`with Recorder(path) as recorder: recorder.write(episode)`.

    Leaving the block normally finishes the recording; an exception keeps the part. Raises
    ConfigurationError if the path cannot be written, or if it holds a recording already and neither
    `overwrite` nor `resume` is set. Raises OSError when the disk is full; the episodes before are
    kept, and the run can be resumed. With `resume` episodes are added to those of the recording or
    its part (`recorded`); if there is neither, a new recording begins.
    """

    def __init__(
        self, path: str | PathLike[str], *, overwrite: bool = False, resume: bool = False
    ) -> None:
        self.path = Path(path)
        self.part = self.path.with_name(self.path.name + PART)
        self.episodes = 0
        "How many episodes were written, and read by `recorded`."
        self._size_bytes = 0
        self._pack = packer(path)
        if not (overwrite or resume):
            self._check_free()
        try:
            begun = self._begun() if resume else self.part
            # Unbuffered, so that a written line is kept when the process is killed.
            self._file = begun.open("ab", buffering=0)
            try:
                self._begin(begun, resume=resume)
            except BaseException:
                self._file.close()
                raise
        except OSError as error:
            raise ConfigurationError(f"cannot write {self.part}: {error.strerror}") from error

    @staticmethod
    def is_begun(path: str | PathLike[str]) -> bool:
        """Whether there is a recording, or the part of one, to resume."""
        return Path(path).exists() or Path(f"{path}{PART}").exists()

    def recorded(self) -> Iterator[Episode]:
        """Yield the episodes of the resumed file, and count them. Raises PayloadError."""
        for episode in read(self.part):
            self.episodes += 1
            yield episode

    def _check_free(self) -> None:
        for taken in (self.path, self.part):
            if taken.exists():
                raise ConfigurationError(
                    f"{taken} exists: choose another file, resume it, or allow to overwrite it"
                )

    def _begun(self) -> Path:
        """Return the file to resume: the recording or its part. Raises ConfigurationError."""
        if self.path.exists() and self.part.exists():
            raise ConfigurationError(
                f"{self.path} and {self.part} both exist: move one of them away"
            )
        begun = self.path if self.path.exists() else self.part
        if (
            begun.exists()
            and begun.stat().st_size
            and is_packed(begun) != (self._pack is not bytes)
        ):
            raise ConfigurationError(
                f"{begun} is not what its name says: compressed if and only if it ends in .zst"
            )
        return begun

    def _begin(self, begun: Path, *, resume: bool) -> None:
        """Lock the open file, cut it after the last line to keep, and rename it to the part."""
        try:
            flock(self._file, LOCK_EX | LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(
                f"another run is writing {begun}: wait for its end, or choose another file"
            ) from error
        except OSError as error:
            logger.debug("nothing keeps other runs from %s: %s", begun, error)
        self._size_bytes = whole_bytes(begun) if resume else 0
        self._file.truncate(self._size_bytes)
        if not resume:
            manifest_path(self.part).unlink(missing_ok=True)
        elif begun is self.path or not manifest_path(self.part).exists():
            move(self.path, self.part)
        if begun is self.path:
            begun.replace(self.part)

    def write(self, episode: Episode) -> None:
        """Append an episode. Raises PayloadError, OSError."""
        packed = self._pack(encode(episode))
        left = memoryview(packed)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            self._file.truncate(self._size_bytes)
            raise OSError(
                error.errno, f"{error.strerror}: make room and resume the run", str(self.part)
            ) from error
        self._size_bytes += len(packed)
        self.episodes += 1

    def finish(self) -> None:
        """Flush the part to disk, and rename it to the recording."""
        with self._file:
            os.fsync(self._file.fileno())
            move(self.part, self.path)
            self.part.replace(self.path)

    def abandon(self) -> None:
        """Close the part and leave it where it is, unless it is empty."""
        if not self._size_bytes:
            self.part.unlink(missing_ok=True)
            manifest_path(self.part).unlink(missing_ok=True)
        self._file.close()

    def __enter__(self) -> Self:
        """Return the recorder; its file is open already."""
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: object
    ) -> None:
        """Finish the recording; after an exception keep the part, and note where it is."""
        if error is None:
            self.finish()
            return
        self.abandon()
        if self.episodes:
            error.add_note(
                f"Episodes that ended before: {self.episodes}, in {self.part}; "
                "resume the run to go on with them"
            )


def open_recorder(
    path: str | PathLike[str],
    manifest: RunManifest,
    *,
    overwrite: bool = False,
    resume: bool = False,
) -> Recorder:
    """Return a recorder for a run; it resumes an existing recording of the same run.

    Raises ConfigurationError.
    """
    if overwrite and resume:
        raise ConfigurationError("a recording is either overwritten or resumed, not both")
    if resume and Recorder.is_begun(path):
        part = Path(f"{path}{PART}")
        # `finish` renames the manifest before the part. A part without a manifest is from a run
        # that was killed between the two, so the manifest has the recording's name already.
        has_own = part.exists() and manifest_path(part).exists()
        check(part if has_own else path, manifest)
        return Recorder(path, resume=True)
    recorder = Recorder(path, overwrite=overwrite)
    try:
        write(recorder.part, manifest)
    except ConfigurationError:
        recorder.abandon()
        raise
    return recorder
