"""Mounts that only the sandbox sees. All of them need privileges; confinement.py can do without."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from openenv.sandbox.inside.kernel import LIBC, SandboxSetupError, checked

CLONE_NEWNS = 0x20000
NOSUID, NODEV, NOEXEC, BIND, REC, PRIVATE = 1 << 1, 1 << 2, 1 << 3, 1 << 12, 1 << 14, 1 << 18
OTHERS_MAY_PASS = 0o001


def unshare_mounts() -> None:
    """Have mounts of this process's own from now on, which end with it."""
    checked("tmpfs", LIBC.unshare(CLONE_NEWNS))
    _mount(None, "/", None, REC | PRIVATE)


def mount_tmpfs(path: str, max_bytes: int, max_files: int, uid: int) -> None:
    """Put an empty file system of a fixed size on a folder, for one user."""
    options = f"size={max_bytes},nr_inodes={max_files},mode=700,uid={uid},gid={uid}"
    _mount("tmpfs", path, "tmpfs", NOSUID | NODEV | NOEXEC, options)


def make_reachable(paths: list[str]) -> None:
    """Make folders reachable that lie below one which only root may enter.

    A Python in root's home could import nothing as another user. The closed folder is replaced, for
    this process alone, by an empty one that holds these paths and nothing else.
    """
    closed = {path: blocker for path in paths if (blocker := _closed_folder(path)) is not None}
    sources = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in closed}
    try:
        for blocker in sorted(set(closed.values())):
            _mount("tmpfs", blocker, "tmpfs", NOSUID | NODEV, "mode=755,size=1m")
        for path, fd in sources.items():
            Path(path).mkdir(mode=0o755, parents=True, exist_ok=True)
            _mount(f"/proc/self/fd/{fd}", path, None, BIND | REC)
    finally:
        for fd in sources.values():
            os.close(fd)


def are_reachable(paths: list[str]) -> bool:
    """Tell whether any user may enter these folders."""
    return all(_closed_folder(path) is None for path in paths)


def _closed_folder(path: str) -> str | None:
    """Return the topmost folder above a path that others may not pass."""
    for folder in reversed(Path(path).parents):
        with suppress(FileNotFoundError):
            if not folder.stat().st_mode & OTHERS_MAY_PASS:
                return str(folder)
    return None


def _mount(
    source: str | None, path: str, kind: str | None, flags: int, options: str | None = None
) -> None:
    encoded = [text and text.encode() for text in (source, path, kind)]
    try:
        checked("tmpfs", LIBC.mount(*encoded, flags, options and options.encode()))
    except SandboxSetupError as error:
        raise SandboxSetupError(f"{error}: {path}") from None
