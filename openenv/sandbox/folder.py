"""A sandbox's folder where it is no file system of its own: how much is in it, and its removal.

What is in it was made by untrusted code: links are never followed, and counting has an end.
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK_BYTES = 512


def is_over(folder: str, pid: int, max_bytes: int, max_files: int) -> bool:
    """Tell whether there is more in a folder, or in files deleted but open, than there may be."""
    used, count = _of_open_files(pid), 0
    folders = [folder]
    while folders and used <= max_bytes and count <= max_files:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                count += 1
                with suppress(OSError):
                    used += entry.stat(follow_symlinks=False).st_blocks * BLOCK_BYTES
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                if count > max_files:
                    break
    return used > max_bytes or count > max_files


def _of_open_files(pid: int) -> int:
    """Return how much a process holds in files that have no name any more."""
    used = 0
    with suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                status = os.stat(f"/proc/{pid}/fd/{name}")
                if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
                    used += status.st_blocks * BLOCK_BYTES
    return used


def remove(folder: str) -> None:
    """Remove a folder and what is in it, also where its owner has locked itself out."""

    def unlock(function: Callable[..., Any], path: str, _: object) -> None:
        with suppress(OSError):
            Path(path).parent.chmod(0o700)
            Path(path).chmod(0o700)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)

    if os.path.lexists(folder):
        shutil.rmtree(folder, onerror=unlock)
