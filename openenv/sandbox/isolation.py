"""Which layers together are a boundary, and which kinds of isolation this machine may have.

Tried in order, the strongest first. Where none holds, untrusted code is not run: SandboxUnavailable
says what each of them lacks.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")


class SandboxError(Exception):
    """The sandbox, not what runs in it, has failed."""


class SandboxUnavailable(SandboxError):
    """No kind of isolation holds on this machine."""


@dataclass(frozen=True)
class Isolation:
    """A kind: what must hold in the interpreter's process, and what is put around its zygote."""

    name: str
    layers: frozenset[str]
    "As inside/confinement.py names them."
    is_wrapped: bool = False
    without: frozenset[str] = frozenset()
    "Layers that are not put on though they could be: so what is left can be tested alone."

    def obstacle(self) -> str | None:
        """Return what rules it out before it is tried."""
        if platform.system() != "Linux":
            return "it needs Linux"
        if self.name == "bubblewrap" and shutil.which("bwrap") is None:
            return "bwrap is not installed"
        if self.name == "container":
            if not any(map(os.path.exists, CONTAINER_MARKS)):
                return "this is no container"
            if {name for _, name in socket.if_nameindex()} - {"lo"}:
                return "the container has a network"
        return None


KINDS = (
    Isolation("landlock", frozenset({"landlock", "seccomp", "rlimits"})),
    Isolation("bubblewrap", frozenset({"rlimits"}), is_wrapped=True),
    # Without Landlock, only another user keeps the server's files apart.
    Isolation("container", frozenset({"seccomp", "uid", "rlimits"})),
)
UNSAFE = Isolation("unsafe", frozenset())


def kinds(name: str | None) -> tuple[Isolation, ...]:
    """Return the kinds to be tried: all, or the one of a name."""
    if name is None:
        return KINDS
    kinds = tuple(kind for kind in (*KINDS, UNSAFE) if kind.name == name)
    if not kinds:
        known = ", ".join(kind.name for kind in (*KINDS, UNSAFE))
        raise ValueError(
            f"there is no isolation {name!r}: give one of {known}, or None for the best"
        )
    return kinds


def bubblewrap(folder: str, max_bytes: int) -> tuple[str, ...]:
    """Return what comes before a command, so that it sees Python and one sized folder alone."""
    own = Path(__file__).parent
    shown = [
        "/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", sys.base_prefix,
        *{sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")},
        str(Path(sys.executable).parent), str(Path(sys.prefix, "pyvenv.cfg")),
        str(own), str(own.parent / "__init__.py"),
    ]  # fmt: skip
    shown = list(dict.fromkeys(path for path in shown if os.path.exists(path)))
    binds = [word for path in shown for word in ("--ro-bind", path, path)]
    return (
        "bwrap", "--unshare-all", "--new-session", *binds, "--proc", "/proc", "--dev", "/dev",
        "--size", str(max_bytes), "--tmpfs", folder, "--chdir", "/",
    )  # fmt: skip
