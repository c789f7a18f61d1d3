"""Lines in a file: plain, or each in a zstd frame of its own.

The file's name decides how it is written, its first bytes how it is read. Does not know what a line
holds (format.py) or when it is written (recorder.py).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openenv.errors import ConfigurationError, PayloadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from os import PathLike
    from typing import BinaryIO

logger = logging.getLogger("openenv.recording")

SUFFIX = ".zst"
MAGIC = b"\x28\xb5\x2f\xfd"
"The first bytes of a zstd frame; no line of JSON begins with them."
CHUNK_BYTES = 1 << 16


def packer(path: str | PathLike[str]) -> Callable[[bytes], bytes]:
    """Return the function that encodes a line for this file. Raises ConfigurationError."""
    if Path(path).suffix != SUFFIX:
        return bytes
    # The checksum makes the reader notice a damaged frame.
    compressor = _zstandard(path).ZstdCompressor(write_checksum=True)
    return compressor.compress  # type: ignore[no-any-return]


def is_packed(path: str | PathLike[str]) -> bool:
    """Whether the file holds zstd frames; False for an empty file."""
    with Path(path).open("rb") as file:
        return _begins_with_frame(file)


def read_lines(path: str | PathLike[str]) -> Iterator[bytes]:
    """Yield the complete lines of a file; skip an incomplete last one, with a warning in the log.

    Raises PayloadError for damaged frames, and ConfigurationError without zstandard.
    """
    whole_bytes = 0
    for line, end in _walk(path):
        if not line.endswith(b"\n"):
            logger.warning(
                "%s is cut: its last %d bytes are no whole episode and are left out",
                path,
                end - whole_bytes,
            )
            return
        yield line
        whole_bytes = end


def whole_bytes(path: str | PathLike[str]) -> int:
    """Return the size of the file's complete lines. Raises what `read_lines` raises."""
    return max((end for line, end in _walk(path) if line.endswith(b"\n")), default=0)


def _walk(path: str | PathLike[str]) -> Iterator[tuple[bytes, int]]:
    """Yield each line, with the size in bytes of the file up to its end.

    An incomplete rest comes last, without a newline and with the size of the whole file.
    """
    with Path(path).open("rb") as file:
        if _begins_with_frame(file):
            yield from _walk_frames(file, path)
            return
        end = 0
        for line in file:
            end += len(line)
            yield line, end


def _walk_frames(file: BinaryIO, path: str | PathLike[str]) -> Iterator[tuple[bytes, int]]:
    zstandard = _zstandard(path)
    decompressor = zstandard.ZstdDecompressor()
    frame, end, text = None, 0, b""
    while chunk := file.read(CHUNK_BYTES):
        while chunk:
            frame = frame or decompressor.decompressobj()
            try:
                text += frame.decompress(chunk)
            except zstandard.ZstdError as error:
                raise PayloadError(
                    f"{path} is damaged in the frame at byte {end} ({error}); what is before it "
                    f"is whole: a copy cut there (head -c {end}) can be read"
                ) from error
            chunk = b""
            if frame.eof:
                chunk = frame.unused_data
                frame, end = None, file.tell() - len(chunk)
            *lines, text = text.split(b"\n")
            if frame is not None and lines:
                # Keep the last line back: if the frame ends with it, it counts as whole only
                # when the frame is.
                text = lines.pop() + b"\n" + text
            for line in lines:
                yield line + b"\n", end
    if frame is not None or text:
        yield b"", file.tell()


def _begins_with_frame(file: BinaryIO) -> bool:
    head = file.read(len(MAGIC))
    file.seek(0)
    return bool(head) and MAGIC.startswith(head)


def _zstandard(path: str | PathLike[str]) -> Any:
    try:
        # Imported late, because it belongs to an extra and only compressed recordings need it.
        import zstandard  # noqa: PLC0415
    except ImportError:
        raise ConfigurationError(f"{path} needs zstandard: pip install 'openenv[zstd]'") from None
    return zstandard
