"""The C library's calls that Python has no names for, with errors as exceptions."""

from __future__ import annotations

import ctypes
import os
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
LIBC.mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_char_p]


class SandboxSetupError(Exception):
    """A layer of the confinement does not hold here; the text begins with its name."""


def checked(layer: str, result: int) -> int:
    """Return the result of a call, or raise what the kernel said."""
    if result < 0:
        raise SandboxSetupError(f"{layer}: {os.strerror(ctypes.get_errno())}")
    return result


def prctl(layer: str, option: int, *arguments: Any) -> None:
    """Change what this process may do. All five arguments are given, as some options demand."""
    words = [
        argument if isinstance(argument, ctypes.Array) else ctypes.c_ulong(argument)
        for argument in (*arguments, 0, 0, 0, 0)[:4]
    ]
    checked(layer, LIBC.prctl(option, *words))


def syscall(layer: str, number: int, *arguments: Any) -> int:
    """Make a call that the C library does not know; returns its result."""
    words = [
        ctypes.c_long(argument) if isinstance(argument, int) else argument
        for argument in (number, *arguments)
    ]
    return checked(layer, LIBC.syscall(*words))
