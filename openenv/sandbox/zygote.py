"""The zygote as its owner sees it: a process that forks interpreters, each in a sandbox.

A process has one for each set of packages and kind of isolation, for it costs what importing the
packages costs. Its own program is inside/zygote.py.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from openenv.sandbox.isolation import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = (
    "import sys; sys.path[:] = {path!r}; from openenv.sandbox.inside.zygote import main; main()"
)
# No secrets; the same order of sets in every run; and no threads of numpy's, which forks lack.
ENVIRON = {
    "PATH": os.defpath,
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    # Each arena reserves addresses, which the limit of memory counts.
    "MALLOC_ARENA_MAX": "2",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
START_S = 60.0
ANSWER_S = 10.0


class ZygoteProcess:
    """One such process. Its methods may be called from any thread."""

    def __init__(
        self, packages: tuple[str, ...], wrapper: Callable[[str], tuple[str, ...]] | None = None
    ) -> None:
        self._lock = threading.Lock()
        self.folder = tempfile.mkdtemp(prefix="openenv-sandbox-")
        # Other users pass to their own folder, and list nothing.
        os.chmod(self.folder, 0o711)
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program = PROGRAM.format(path=[path or os.getcwd() for path in sys.path])
        self._process = subprocess.Popen(
            [
                *(wrapper(self.folder) if wrapper else ()),
                *(sys.executable, "-s", "-P", "-c", program),
                *(json.dumps(packages), self.folder),
            ],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=self._complaints,
            env=ENVIRON,
            cwd="/",
            start_new_session=True,
        )
        theirs.close()
        self._control.settimeout(START_S)
        try:
            reply = self._receive()
        except SandboxError:
            self.close()
            raise
        if "error" in reply:
            self.close()
            raise SandboxError(f"{reply['error']}: give the sandbox only packages that import")
        self._control.settimeout(ANSWER_S)

    @property
    def is_alive(self) -> bool:
        """Tell whether it can still be asked."""
        return self._process.poll() is None

    def ask(self, do: str, *fds: int, **arguments: Any) -> dict[str, Any]:
        """Send a request, with descriptors, and return the answer."""
        message = json.dumps({"do": do, **arguments}).encode()
        with self._lock:
            try:
                socket.send_fds(self._control, [message], list(fds))
            except OSError as error:
                raise SandboxError(f"the process that forks sandboxes is gone: {error}") from None
            return self._receive()

    def close(self) -> None:
        """End it, and whatever it has forked."""
        self._control.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(ANSWER_S)
        self._process.kill()
        self._process.wait()
        self._complaints.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _receive(self) -> dict[str, Any]:
        try:
            message = self._control.recv(1 << 16)
        except OSError as error:
            message, reason = b"", str(error)
        else:
            reason = "it has ended"
        if not message:
            self._complaints.seek(0)
            complaints = self._complaints.read().decode("utf-8", "replace").strip()[-2000:]
            raise SandboxError(
                f"the process that forks sandboxes does not answer: {complaints or reason}"
            )
        answer: dict[str, Any] = json.loads(message)
        return answer
