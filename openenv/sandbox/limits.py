"""How much of the machine a sandbox may use: Limits."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What untrusted code may use, in one sandbox.

    The defaults let a snippet compute with arrays of some size, and a server have many sandboxes.
    """

    memory_bytes: int = 512 * MIB
    "What it may allocate beyond the interpreter and the packages that it begins with."
    disk_bytes: int = 64 * MIB
    "The size of its folder, and of any file."
    files: int = 4096
    "How many files and folders it may have."
    threads: int = 32
    open_files: int = 64
    output_bytes: int = 100_000
    "How much is kept of each of stdout and stderr: the first half and the last half."
    value_chars: int = 10_000
    "How much is kept of the last expression's value."
    code_bytes: int = MIB
    file_bytes: int = MIB
    "How large a file may be that is read from the sandbox, or written into it, in one call."

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        wrong = [name for name, value in vars(self).items() if value < 1]
        if wrong:
            raise ValueError(f"limits must be positive: {', '.join(wrong)}")
