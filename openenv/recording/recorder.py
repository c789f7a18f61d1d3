"""Recorder: writes episodes to a file as they end, so that a finished one is never lost.

Lines go to `<path>.part`, each in one piece and handed to the operating system before the next; a
run that comes to its end renames that to `<path>`. So `<path>` is always a whole run, and what is
left of one that was killed lies beside it, readable to its last whole line (`format.read`). A
manifest follows its file when that is renamed. A path that ends in `.zst` is compressed (lines.py).
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

    Leaving the block in peace finishes the file; leaving it with an exception keeps the part.
    Raises ConfigurationError for a path that cannot be written or holds a recording already, unless
    `overwrite` or `resume` is set, and OSError when the disk is full: what was written before is
    kept, and can be gone on with. With `resume` episodes are added to those that are there
    (`recorded`), in the recording or in its part; without either it begins.
    """

    def __init__(
        self, path: str | PathLike[str], *, overwrite: bool = False, resume: bool = False
    ) -> None:
        self.path = Path(path)
        self.part = self.path.with_name(self.path.name + PART)
        self.episodes = 0
        "How many are in the file."
        self._size_bytes = 0
        self._pack = packer(path)
        if not (overwrite or resume):
            self._check_free()
        try:
            begun = self._begun() if resume else self.part
            # Unbuffered: what was written survives the death of the process.
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
        """Whether there is something to resume."""
        return Path(path).exists() or Path(f"{path}{PART}").exists()

    def recorded(self) -> Iterator[Episode]:
        """Yield the episodes that were there before; counts them. Raises PayloadError."""
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
        """Return what is to be resumed."""
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
        """Make what is open the part, without what is not resumed, such as a line that was cut."""
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
        """Make the part the recording, all of it on disk."""
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
        # A part without a manifest was about to be renamed: the recording has its manifest.
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
