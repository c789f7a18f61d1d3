"""A program between a client and the server that it starts, which ends the server with the client.

It runs a command in a process group of its own and reads its standard input, the far end of a pipe
that the client holds. The system closes that when the client ends, however it does: then the group
is told to stop, and killed if it does not. Knows nothing of openenv, so that it starts at once;
child.py is the client's side of it.
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
    """Runs one command until it ends, or until it is told to end it."""

    def __init__(self, grace_s: float, command: list[str]) -> None:
        # A group of its own: whatever the command starts is killed with it, and this is not.
        # Files that are to be inherited are: the client chose them.
        self._child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, process_group=0, close_fds=False
        )
        self._grace_s = grace_s

    def run(self) -> int:
        """Return the command's exit code, as a shell would."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self.end())
        threading.Thread(target=self._end_with_client, daemon=True).start()
        code = self._child.wait()
        self._signal(signal.SIGKILL)  # what it has left behind
        return code if code >= 0 else 128 - code

    def end(self) -> None:
        """Tell the command to stop, and kill it when its time is over."""
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
    """Run a command; then remove the folder that it needed, if one is named.

    With `keeps` the folder stays if the command has ended well.
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
