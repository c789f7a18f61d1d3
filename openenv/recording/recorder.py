"""Recorder: writes episodes to a file as they end, so that a finished one is never lost.

Lines go to `<path>.part`, each in one piece and handed to the operating system before the next; a
run that comes to its end renames that to `<path>`. So `<path>` is always a whole run, and what is
left of one that was killed lies beside it, readable to its last whole line (`format.read`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

from openenv.errors import ConfigurationError
from openenv.recording.format import Episode, encode

if TYPE_CHECKING:
    from os import PathLike

PART = ".part"


class Recorder:
    """`with Recorder(path) as recorder: recorder.write(episode)`.

    Leaving the block in peace finishes the file; leaving it with an exception keeps the part.
    Raises ConfigurationError for a path that cannot be written or holds a recording already, unless
    `overwrite` is set, and OSError when the disk is full: what was written before is kept.
    """

    def __init__(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        self.path = Path(path)
        self.part = self.path.with_name(self.path.name + PART)
        self.episodes = 0
        self._size_bytes = 0
        for taken in (self.path, self.part):
            if taken.exists() and not overwrite:
                raise ConfigurationError(
                    f"{taken} exists: choose another file, or allow to overwrite it"
                )
        try:
            # Unbuffered: what was written survives the death of the process.
            self._file = self.part.open("wb", buffering=0)
        except OSError as error:
            raise ConfigurationError(f"cannot write {self.part}: {error.strerror}") from error

    def write(self, episode: Episode) -> None:
        """Append an episode. Raises PayloadError, OSError."""
        line = encode(episode)
        left = memoryview(line)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            self._file.seek(self._size_bytes)
            self._file.truncate()
            raise
        self._size_bytes += len(line)
        self.episodes += 1

    def finish(self) -> None:
        """Make the part the recording, all of it on disk."""
        os.fsync(self._file.fileno())
        self._file.close()
        self.part.replace(self.path)

    def abandon(self) -> None:
        """Close the part and leave it where it is, unless it is empty."""
        self._file.close()
        if not self.episodes:
            self.part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: object
    ) -> None:
        """Finish, or keep what there is and say where."""
        if error is None:
            self.finish()
            return
        self.abandon()
        if self.episodes:
            error.add_note(f"Episodes that ended before: {self.episodes}, in {self.part}")
