"""The filter's program, for both architectures, on a small machine of the kernel's BPF."""

import errno
import struct

import pytest

from openenv.sandbox.inside import seccomp
from openenv.sandbox.inside.syscalls import ALLOWED, numbers

PID = 4321
ARCHITECTURES = sorted(seccomp.ARCHITECTURES)
ALLOW, KILL = "allow", "kill"
THREAD = 0x3D0F00  # what pthread_create passes to clone


def verdict(machine: str, number: int, *arguments: int, architecture: int | None = None) -> str:
    """Run the filter for one call."""
    words = [argument & (1 << 64) - 1 for argument in (*arguments, *[0] * 6)[:6]]
    known = seccomp.ARCHITECTURES[machine] if architecture is None else architecture
    data = struct.pack("=IIQ6Q", number, known, 0, *words)
    program = list(struct.iter_unpack("=HBBI", seccomp.assemble(machine, PID)))
    register = place = 0
    while True:
        code, if_true, if_false, value = program[place]
        place += 1
        if code == seccomp.LOAD:
            (register,) = struct.unpack_from("=I", data, value)
        elif code == seccomp.AND:
            register &= value
        elif code == seccomp.RETURN:
            return {seccomp.RETURN_ALLOW: ALLOW, seccomp.RETURN_KILL_PROCESS: KILL}.get(
                value
            ) or errno.errorcode[value & 0xFFFF]
        else:
            holds = {
                seccomp.JUMP_IF_EQUAL: register == value,
                seccomp.JUMP_IF_ABOVE: register > value,
                seccomp.JUMP_IF_AT_LEAST: register >= value,
            }[code]
            place += if_true if holds else if_false


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_every_number_that_is_not_in_the_list_is_refused(machine: str) -> None:
    allowed = set(numbers(machine).values())
    others = [*range(1000), 0x40000000, 0x40000001, 0xFFFFFFFF]
    wrong = [one for one in others if one not in allowed and verdict(machine, one) != "EPERM"]
    assert wrong == []


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_every_number_of_the_list_without_conditions_is_allowed(machine: str) -> None:
    special = {*seccomp.conditions(PID), "clone3"}
    plain = {name: number for name, number in numbers(machine).items() if name not in special}
    assert {name for name, number in plain.items() if verdict(machine, number) != ALLOW} == set()
    assert len(plain) > 90


@pytest.mark.parametrize("machine", ARCHITECTURES)
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("clone", (THREAD,), ALLOW),
        ("clone", (17,), "EPERM"),
        ("clone", (0x4111,), "EPERM"),
        ("clone", (THREAD | 0x10000000,), "EPERM"),
        ("clone3", (), "ENOSYS"),
        ("kill", (PID, 9), ALLOW),
        ("kill", (PID + 1, 9), "EPERM"),
        ("kill", (0, 9), "EPERM"),
        ("kill", (-1, 9), "EPERM"),
        ("kill", (-PID, 9), "EPERM"),
        ("tgkill", (PID, PID, 6), ALLOW),
        ("tgkill", (1, 1, 6), "EPERM"),
        ("prlimit64", (0, 7, 0), ALLOW),
        ("prlimit64", (PID, 7, 0), ALLOW),
        ("prlimit64", (PID, 7, 1 << 32), "EPERM"),
        ("prlimit64", (PID, 7, 0x1000), "EPERM"),
        ("prlimit64", (1, 7, 0), "EPERM"),
        ("fcntl", (5, 2), ALLOW),
        ("fcntl", (5, 8), "EPERM"),
        ("fcntl", (5, 10), "EPERM"),
        ("ioctl", (0, 0x5401), ALLOW),
        ("ioctl", (0, 0x5412), "EPERM"),
        ("ioctl", (0, 0x8901), "EPERM"),
        ("socketpair", (1, 1 | 0x80000), ALLOW),
        ("socketpair", (1, 2), "EPERM"),
        ("socketpair", (2, 1), "EPERM"),
        ("sendto", (3, 0, 0, 0, 0), ALLOW),
        ("sendto", (3, 0, 0, 0, 1 << 32), "EPERM"),
    ],
)
def test_some_are_allowed_with_some_arguments(
    machine: str, name: str, arguments: tuple[int, ...], expected: str
) -> None:
    assert verdict(machine, numbers(machine)[name], *arguments) == expected


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_calls_of_another_architecture_end_the_process(machine: str) -> None:
    assert verdict(machine, 0, architecture=0x40000003) == KILL


def test_an_unknown_architecture_has_no_filter() -> None:
    assert not seccomp.is_known("riscv64")
    assert all(len(row) == 2 for row in ALLOWED.values())
