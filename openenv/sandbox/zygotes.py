"""The zygotes of this process: one for each set of packages, made when it is first needed.

They are kept until the process exits, since making one costs what importing packages costs. One in
a namespace of its own is made for each sandbox: whatever it forks shares that namespace.
"""

from __future__ import annotations

import atexit
import os
import threading

from openenv.sandbox.isolation import Isolation, bubblewrap
from openenv.sandbox.zygote import ZygoteProcess

_lock = threading.Lock()
# A forked process has the objects of its parent, and must not use their sockets.
_shared: dict[tuple[int, tuple[str, ...]], ZygoteProcess] = {}


def zygote_for(
    packages: tuple[str, ...], kind: Isolation, disk_bytes: int, own: ZygoteProcess | None
) -> ZygoteProcess:
    """Return a living zygote; `own` is the one that the sandbox had before."""
    if kind.is_wrapped:
        if own is not None and own.is_alive and own not in _shared.values():
            return own
        return ZygoteProcess(packages, lambda folder: bubblewrap(folder, disk_bytes))
    key = os.getpid(), packages
    with _lock:
        zygote = _shared.get(key)
        if zygote is None or not zygote.is_alive:
            zygote = _shared[key] = ZygoteProcess(packages)
        return zygote


def end_own_zygote(zygote: ZygoteProcess) -> None:
    """End a zygote that nobody shares."""
    if zygote not in _shared.values():
        zygote.close()


@atexit.register
def close_all() -> None:
    """End those of this process."""
    with _lock:
        for key in [key for key in _shared if key[0] == os.getpid()]:
            _shared.pop(key).close()
