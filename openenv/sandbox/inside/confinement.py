"""The layers between untrusted code and the machine, put on in the one order that works.

Each is put on as far as this machine has it; which of them hold is reported. Whether that is enough
is decided outside, by isolation.py.
"""

from __future__ import annotations

import os
import resource
import signal
from contextlib import suppress
from typing import TypedDict

from openenv.sandbox.inside import landlock, mounts, seccomp
from openenv.sandbox.inside.kernel import SandboxSetupError, prctl

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
# Above all ranges that are given to users, services and containers; then one that exists where only
# the first 65,536 users do.
UNUSED_UIDS = ((0x70000000, 1 << 22), (61184, 4096))
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")


class Order(TypedDict):
    """What is asked for one sandbox."""

    folder: str
    memory_bytes: int
    disk_bytes: int
    files: int
    threads: int
    open_files: int
    without: list[str]


def confine(order: Order, readable: dict[str, int], may_change_user: bool) -> list[str]:
    """Confine this process, which has just been forked, for good; return the layers that hold.

    `readable` are paths with rights of Landlock.
    """
    os.setsid()
    layers = ["rlimits"]
    left_out = set(order["without"])
    uid = _unused_uid() if may_change_user and "uid" not in left_out else None
    owner = os.getuid() if uid is None else uid
    os.makedirs(order["folder"], 0o700, exist_ok=True)
    if "tmpfs" not in left_out and _mount_folder(order, owner):
        layers.append("tmpfs")
    else:
        os.chown(order["folder"], owner, owner if uid else -1)
    os.chdir(order["folder"])
    _limit(order, 0 if uid else _threads_of(os.getuid()))
    if uid is not None:
        _become(uid)
        layers.append("uid")
    _die_with_parent()
    prctl("seccomp", PR_SET_NO_NEW_PRIVS, 1)
    if "landlock" not in left_out:
        with suppress(SandboxSetupError):
            landlock.restrict(readable | {order["folder"]: landlock.FOLDER_RIGHTS} | _devices())
            layers.append("landlock")
    with suppress(SandboxSetupError):
        seccomp.install()
        layers.append("seccomp")
    return layers


def _mount_folder(order: Order, owner: int) -> bool:
    """Make the folder a file system of its own size, if this process may."""
    try:
        mounts.unshare_mounts()
        mounts.mount_tmpfs(order["folder"], order["disk_bytes"], order["files"], owner)
    except SandboxSetupError:
        return False
    return True


def _devices() -> dict[str, int]:
    return dict.fromkeys(DEVICES, landlock.READ_FILE) | {
        "/dev/null": landlock.READ_FILE | landlock.WRITE_FILE
    }


def _limit(order: Order, threads_before: int) -> None:
    """Set the limits, soft and hard. Those of users count what the user has already."""
    # As bytes: what decodes text is imported when it is first used.
    with open("/proc/self/statm", "rb", buffering=0) as statm:
        own_bytes = int(statm.read().split()[0]) * resource.getpagesize()
    for kind, value in {
        resource.RLIMIT_AS: own_bytes + order["memory_bytes"],
        resource.RLIMIT_FSIZE: order["disk_bytes"],
        resource.RLIMIT_NOFILE: order["open_files"],
        resource.RLIMIT_NPROC: threads_before + order["threads"],
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }.items():
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def _threads_of(uid: int) -> int:
    """Count the threads of a user, as RLIMIT_NPROC does. Root has no such limit."""
    count = 0
    for entry in os.scandir("/proc") if uid else ():
        with suppress(OSError, ValueError):
            if entry.name.isdecimal() and entry.stat().st_uid == uid:
                count += len(os.listdir(f"/proc/{entry.name}/task"))
    return count


def _unused_uid() -> int | None:
    """Return the id of a user that nobody is, or None where this process may not change its own."""
    if os.geteuid() != 0:
        return None
    for first, size in UNUSED_UIDS:
        uid = first + os.getpid() % size
        with suppress(OSError):
            os.setresuid(uid, 0, -1)  # tried with the one that can be taken back
            os.setresuid(0, 0, -1)
            return uid
    return None


def _become(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _die_with_parent() -> None:
    """Be killed when the zygote ends. Changing the user would have undone it before."""
    parent = os.getppid()
    prctl("rlimits", PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
