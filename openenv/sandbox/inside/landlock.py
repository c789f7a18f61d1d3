"""Landlock: which files this process may touch from now on, for good.

The kernel's documentation is userspace-api/landlock. Whatever is not granted is refused: other
files, all of /proc and /sys, TCP, signals and abstract sockets to processes outside.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from contextlib import suppress

from openenv.sandbox.inside.kernel import SandboxSetupError, syscall

LAYER = "landlock"
# The same on all architectures.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
CREATE_RULESET_VERSION = 1
RULE_PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
# Bits 0 to 12 are of the first version; REFER, TRUNCATE and IOCTL_DEV came one by one.
FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
# Remove and make files, folders and links, refer, truncate. No devices, sockets or pipes by name.
FOLDER_RIGHTS = (
    WRITE_FILE | READ_FILE | READ_DIR
    | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 12 | 1 << 13 | 1 << 14
)  # fmt: skip
# These mean something for a file; the others for folders only.
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | 1 << 14 | 1 << 15
TCP = 3
SCOPES = 3

READ_TREE = EXECUTE | READ_FILE | READ_DIR


def version() -> int:
    """Return the version of the kernel's Landlock, 0 if it has none."""
    with suppress(SandboxSetupError):
        return syscall(LAYER, CREATE_RULESET, None, 0, CREATE_RULESET_VERSION)
    return 0


def restrict(rights: dict[str, int]) -> None:
    """Confine this process to paths with rights. PR_SET_NO_NEW_PRIVS must have been set.

    What does not exist is left out: whoever makes it later has no rights to it.
    """
    known = version()
    if known < 1:
        raise SandboxSetupError(f"{LAYER}: this kernel has none, or has it switched off")
    handled = FILE_RIGHTS[max(since for since in FILE_RIGHTS if since <= known)]
    fields = [handled, TCP if known >= 4 else 0, SCOPES if known >= 6 else 0]
    # Older kernels know a shorter struct.
    size = 8 if known < 4 else 16 if known < 6 else 24
    attributes = ctypes.create_string_buffer(struct.pack("=QQQ", *fields)[:size], size)
    ruleset = syscall(LAYER, CREATE_RULESET, attributes, size, 0)
    try:
        for path, access in rights.items():
            _grant(ruleset, path, access & handled)
        syscall(LAYER, RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _grant(ruleset: int, path: str, access: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            access &= OF_FILES
        rule = ctypes.create_string_buffer(struct.pack("=Qi", access, fd), 12)
        syscall(LAYER, ADD_RULE, ruleset, RULE_PATH_BENEATH, rule, 0)
    finally:
        os.close(fd)
