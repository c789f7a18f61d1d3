"""What a whole run of the tests leaves behind: processes, and files in the temporary folder.

Every process that a test starts, however deep, inherits a variable that names the run, and a
temporary folder of the run's own; so nobody else's are counted. Containers, networks and images are
counted where they are made (containers.py).
"""

import os
import shutil
import tempfile
import time
import uuid
from fnmatch import fnmatch
from pathlib import Path

from openenv.sandbox.zygotes import close_all
from tests.patience import patient

RUN_VARIABLE = "OPENENV_TESTS_RUN"
# What was told to end at the end of the last test may need a moment.
_GRACE_S = 10.0


class Run:
    """One run of the tests, from before its first test until after its last."""

    def __init__(self) -> None:
        self.mark = f"{RUN_VARIABLE}={uuid.uuid4().hex}"
        # Short: Unix sockets in it have paths of at most 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="oe-"))
        self.folder.chmod(0o1777)  # for other users, too: those of sandboxes

    def begin(self) -> None:
        """Have all processes from here on bear the mark."""
        name, _, value = self.mark.partition("=")
        os.environ[name] = value
        os.environ["TMPDIR"] = tempfile.tempdir = str(self.folder)

    def end(self) -> list[str]:
        """Return what is left, in words, and remove the folder."""
        close_all()  # as at the end of this process, which begins only after that of the run
        deadline = time.monotonic() + patient(_GRACE_S)
        while (processes := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        files = [f"file {one}" for one in self.folder.iterdir() if not _is_kept(one.name)]
        shutil.rmtree(self.folder, ignore_errors=True)
        return processes + sorted(files)

    def processes(self) -> list[str]:
        """Return those that bear the mark, but for this one."""
        mark = self.mark.encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                environ = (process / "environ").read_bytes().split(b"\0")
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            except OSError:  # it has just ended, or is another user's
                continue
            if mark in environ and process.name != str(os.getpid()):
                found.append(f"process {process.name}: {command}")
        return found


def _is_kept(name: str) -> bool:
    # By uv, which never removes its locks.
    return name.startswith("pytest-of-") or fnmatch(name, "uv-*.lock")
