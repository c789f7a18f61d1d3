"""Watchdog: a process that outlives its client, to remove the containers that the client leaves.

No exit handler runs after SIGKILL, and none after SIGTERM unless a handler was installed. So while
a process owns containers, a shell waits at a pipe from it, which the system closes when the process
ends. The shell then runs `python -m openenv.providers.watchdog OWNER`, which removes the containers
of that owner. If both die at once, the next sweep removes them by their labels (docker_cleanup.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

from openenv.providers.docker_cleanup import remove, started
from openenv.providers.docker_daemon import docker_client
from openenv.providers.ownership import Owner

PATIENCE_S = 10.0
"How long an owner may go on running after its pipe has closed, before its containers are left."

# A shell waits, because it needs less memory than Python. A line on the pipe means that no
# container is left to remove.
_WAIT = 'read -r line && exit 0; exec "$@"'


class Watchdog:
    """Owns the waiting shell: one for all containers of this process, none without containers."""

    def __init__(self) -> None:
        # Reentrant: while a method holds the lock, a collection may finalize a provider, which
        # calls `forget` on the same thread.
        self._lock = threading.RLock()
        self._count = 0
        self._shell: subprocess.Popen[bytes] | None = None

    def watch(self) -> None:
        """Count one more container, and start the shell if it does not run."""
        with self._lock:
            self._count += 1
            if self._shell is None or self._shell.poll() is not None:
                owner = str(Owner.this_process())
                # -P: do not import modules from the working directory.
                sweeper = (sys.executable, "-P", "-m", "openenv.providers.watchdog", owner)
                path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
                self._shell = subprocess.Popen(
                    ["/bin/sh", "-c", _WAIT, "openenv-watchdog", *sweeper],
                    # The sweeper must import the same openenv as this process.
                    env=os.environ | {"PYTHONPATH": path},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    # A session of its own, so that Ctrl-C reaches only the client.
                    start_new_session=True,
                )

    def forget(self) -> None:
        """Count one container less, and end the shell after the last one."""
        with self._lock:
            self._count -= 1
            if not self._count and self._shell is not None:
                shell, self._shell = self._shell, None
                shell.communicate(b"done\n")

    def abandon(self) -> None:
        """Close this process's copy of the pipe after a fork; the parent owns the shell."""
        shell, self._shell = self._shell, None
        self._lock, self._count = threading.RLock(), 0
        if shell is not None and shell.stdin is not None:
            shell.stdin.close()
            shell.returncode = 0  # so that Popen does not wait for the parent's child


def sweep_after(owner: Owner) -> None:
    """Remove the containers of a process once it has ended; leave them if it still runs."""
    deadline = time.monotonic() + PATIENCE_S
    while owner.is_alive():
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)
    with docker_client() as client:
        # Twice, because Docker may still have been creating a container at the first time.
        for pause_s in (0.0, 1.0):
            time.sleep(pause_s)
            for container in started(client):
                if container.owner == owner:
                    remove(client, container.name)


watchdog = Watchdog()
os.register_at_fork(after_in_child=watchdog.abandon)

if __name__ == "__main__":
    sweep_after(Owner.parse(sys.argv[1]))
