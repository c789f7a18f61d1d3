"""A seccomp filter: which system calls this process may use from now on, for good.

The filter is a program of the kernel's classic BPF, assembled here. It knows no processes, files or
limits: confinement.py says when it is installed.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
import termios
from typing import TYPE_CHECKING, NamedTuple

from openenv.sandbox.inside.kernel import SandboxSetupError, prctl
from openenv.sandbox.inside.syscalls import numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2

RETURN_ALLOW = 0x7FFF0000
RETURN_ERRNO = 0x00050000
RETURN_KILL_PROCESS = 0x80000000

# Opcodes of classic BPF, and offsets in the kernel's struct seccomp_data.
LOAD, AND, RETURN = 0x20, 0x54, 0x06
JUMP_IF_EQUAL, JUMP_IF_ABOVE, JUMP_IF_AT_LEAST = 0x15, 0x25, 0x35
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16

CLONE_THREAD = 0x00010000
# Any new namespace, and time's, which hides among the bits of the exit signal.
CLONE_NEW = 0x7E020080

AF_UNIX, SOCK_STREAM, SOCK_TYPE_MASK = 1, 1, 0xF
# F_SETOWN and F_SETSIG are not among these: they send any signal to any process of the user.
FCNTL_COMMANDS = (
    fcntl.F_DUPFD, fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL, fcntl.F_SETFL, fcntl.F_GETLK,
    fcntl.F_SETLK, fcntl.F_SETLKW, fcntl.F_DUPFD_CLOEXEC, fcntl.F_OFD_GETLK, fcntl.F_OFD_SETLK,
    fcntl.F_OFD_SETLKW, fcntl.F_GETPIPE_SZ, fcntl.F_GET_SEALS,
)  # fmt: skip
# What isatty, set_inheritable and set_blocking ask.
IOCTL_REQUESTS = (
    termios.TCGETS, termios.TIOCGWINSZ, termios.FIOCLEX, termios.FIONCLEX, termios.FIONBIO,
    termios.FIONREAD,
)  # fmt: skip


class Test(NamedTuple):
    """A word of an argument, masked, must be one of some values."""

    argument: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF
    word: int = 0
    "0 for the lower half of the argument, 1 for the upper one."


def _null(argument: int) -> tuple[Test, ...]:
    """Return what tests a pointer for being null."""
    return Test(argument, (0,)), Test(argument, (0,), word=1)


def conditions(pid: int) -> dict[str, tuple[Test, ...]]:
    """Return the tests that calls must pass which are not allowed with all arguments."""
    return {
        "clone": (Test(0, (CLONE_THREAD,), mask=CLONE_THREAD | CLONE_NEW),),
        "kill": (Test(0, (pid,)),),
        "tgkill": (Test(0, (pid,)),),
        "prlimit64": (Test(0, (0, pid)), *_null(2)),
        "fcntl": (Test(1, FCNTL_COMMANDS),),
        "ioctl": (Test(1, IOCTL_REQUESTS),),
        # An event loop of asyncio wakes itself through a pair; neither end can leave this process.
        "socketpair": (Test(0, (AF_UNIX,)), Test(1, (SOCK_STREAM,), mask=SOCK_TYPE_MASK)),
        "sendto": _null(4),
    }


def assemble(machine: str, pid: int) -> bytes:
    """Return the filter for a process on an architecture."""
    tests = conditions(pid)
    program = [
        _instruction(LOAD, ARCHITECTURE),
        _instruction(JUMP_IF_EQUAL, ARCHITECTURES[machine], 1, 0),
        _instruction(RETURN, RETURN_KILL_PROCESS),
        _instruction(LOAD, NUMBER),
    ]
    for first, last, name in _runs(numbers(machine), tests):
        body = [RETURN_ALLOWED] if name is None else _body(name, tests.get(name, ()))
        program += [
            # Numbers ascend: what is neither behind this run nor in it is refused at once.
            _instruction(JUMP_IF_ABOVE, last, 2 + len(body), 0),
            _instruction(JUMP_IF_AT_LEAST, first, 1, 0),
            REFUSED,
            *body,
        ]
    return b"".join([*program, REFUSED])


def _runs(
    called: dict[str, int], tests: dict[str, tuple[Test, ...]]
) -> Iterator[tuple[int, int, str | None]]:
    """Yield first and last number of calls in a row that are allowed, and each special one by name.

    The kernel tries a new filter with every number there is, so its length is felt at each start.
    """
    first = last = -1
    for name, number in sorted(called.items(), key=lambda item: item[1]):
        is_special = name in tests or name == "clone3"
        if last >= 0 and (is_special or number != last + 1):
            yield first, last, None
            last = -1
        if is_special:
            yield number, number, name
        else:
            first, last = (number if last < 0 else first), number
    if last >= 0:
        yield first, last, None


def _body(name: str, tests: tuple[Test, ...]) -> list[bytes]:
    """Return what is done for one call: whatever the tests say, it ends with a verdict."""
    if name == "clone3":
        # Its flags are behind a pointer that a filter cannot follow. Without it, threads use clone.
        return [_instruction(RETURN, RETURN_ERRNO | errno.ENOSYS)]
    body = []
    for test in tests:
        body += [
            _instruction(LOAD, ARGUMENTS + 8 * test.argument + 4 * test.word),
            _instruction(AND, test.mask),
        ]
        for left, value in zip(range(len(test.values), 0, -1), test.values, strict=True):
            # A hit skips the other values and the verdict behind them.
            body.append(_instruction(JUMP_IF_EQUAL, value, left, 0))
        body.append(REFUSED)
    return [*body, RETURN_ALLOWED]


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value & 0xFFFFFFFF)


RETURN_ALLOWED = _instruction(RETURN, RETURN_ALLOW)
REFUSED = _instruction(RETURN, RETURN_ERRNO | errno.EPERM)


def is_known(machine: str) -> bool:
    """Tell whether there is a filter for an architecture."""
    return machine in ARCHITECTURES


def install() -> None:
    """Confine this process to the allowed system calls. It must have no other thread."""
    machine = os.uname().machine
    if not is_known(machine):
        raise SandboxSetupError(f"seccomp: there is no list of system calls for {machine}")
    program = assemble(machine, os.getpid())
    buffer = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: how many instructions of eight bytes, and where they are.
    head = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    prctl("seccomp", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.create_string_buffer(head))
