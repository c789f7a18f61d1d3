"""A program between a client and the server that it starts; it ends the server with the client.

It runs a command in a process group of its own, and reads a pipe from the client on its stdin. The
system closes that pipe when the client ends, even by SIGKILL. The program then sends SIGTERM to
the group, and later SIGKILL. Imports nothing of openenv, so that it starts at once; child.py is the
client's end of the pipe.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress


class Lifeline:
    """Runs one command until it ends by itself, by a signal to us, or with the client."""

    def __init__(self, grace_s: float, command: list[str]) -> None:
        # A process group of its own: a signal to it reaches all that the command has started, but
        # not this process. The command inherits the descriptors that the client has passed on.
        self._child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, process_group=0, close_fds=False
        )
        self._grace_s = grace_s

    def run(self) -> int:
        """Return the command's exit code as a shell reports it: 128 + N after signal N."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self.end())
        threading.Thread(target=self._end_with_client, daemon=True).start()
        code = self._child.wait()
        self._signal(signal.SIGKILL)  # processes of the group that are left
        return code if code >= 0 else 128 - code

    def end(self) -> None:
        """Send SIGTERM to the command's group, and SIGKILL after the grace period."""
        self._signal(signal.SIGTERM)
        killing = threading.Timer(self._grace_s, self._signal, (signal.SIGKILL,))
        killing.daemon = True
        killing.start()

    def _end_with_client(self) -> None:
        while os.read(0, 1024):
            pass
        self.end()

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, number)


def main(grace_s: str, folder: str, keeps: str, *command: str) -> int:
    """Run a command, then remove the folder that it needed, if one is given.

    With `keeps` the folder stays if the command's exit code is 0.
    """
    code = None
    try:
        code = Lifeline(float(grace_s), list(command)).run()
        return code
    finally:
        if folder and not (keeps and code == 0):
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
