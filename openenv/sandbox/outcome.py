"""What came of a snippet: Outcome, and the capture of what it has printed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One snippet's output, exit code and value."""

    stdout: str = ""
    stderr: str = ""
    exit_code: int = 0
    """0, 1 after an exception, what SystemExit and os._exit said, -1 after a timeout.

    128 and the signal's number where the process was killed: 137 by the kernel, 139 by its own
    fault.
    """
    value: str | None = None
    "repr() of the snippet's last line if that is an expression, unless it is None."
    error: str | None = None
    "The class of the exception that ended it."
    is_timeout: bool = False
    variables_lost: bool = False
    "The interpreter is gone, and what it knew: the next snippet finds an empty namespace."
    duration_s: float = 0.0


class Capture:
    """The first and the last bytes of an output, and how many there were."""

    def __init__(self, max_bytes: int) -> None:
        self.half = max_bytes // 2
        self.head = bytearray()
        self.tail = bytearray()
        self.size = 0

    def add(self, data: bytes) -> None:
        """Take what was read."""
        self.size += len(data)
        room = self.half - len(self.head)
        if room > 0:
            self.head += data[:room]
            data = data[room:]
        self.tail += data
        if len(self.tail) > 4 * self.half:
            self._forget()

    def _forget(self) -> None:
        del self.tail[: max(0, len(self.tail) - self.half)]

    def text(self) -> str:
        """Return it as text, with a note where something is missing."""
        self._forget()
        left_out = self.size - len(self.head) - len(self.tail)
        note = b"\n... %d bytes left out ...\n" % left_out if left_out else b""
        return (self.head + note + self.tail).decode("utf-8", "replace")
