"""A process that outlives its client by a moment, to remove the containers that it leaves.

No exit handler runs after SIGKILL, and none after SIGTERM unless somebody asked for it. So while a
process owns containers, a shell of its own waits for the end of a pipe; the system closes that
when the process ends, however it does. `python -m openenv.providers.watchdog OWNER` then sweeps.
If both die at once, the labels tell the next sweep (docker_cleanup.py).
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
"How long an owner whose pipe has ended may take to be gone."

# Waiting costs a shell's memory, not a Python's. A line says that nothing is left to be removed.
_WAIT = 'read -r line && exit 0; exec "$@"'


class Watchdog:
    """The waiting shell of this process. One for all containers; none while there are none."""

    def __init__(self) -> None:
        # Reentrant: a provider may be collected, and its container removed, while this is held.
        self._lock = threading.RLock()
        self._count = 0
        self._shell: subprocess.Popen[bytes] | None = None

    def watch(self) -> None:
        """See to it that one more container ends with this process."""
        with self._lock:
            self._count += 1
            if self._shell is None or self._shell.poll() is not None:
                owner = str(Owner.this_process())
                # -P: whatever lies in the working directory is none of ours.
                sweeper = (sys.executable, "-P", "-m", "openenv.providers.watchdog", owner)
                path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
                self._shell = subprocess.Popen(
                    ["/bin/sh", "-c", _WAIT, "openenv-watchdog", *sweeper],
                    # It must find openenv wherever this process has found it.
                    env=os.environ | {"PYTHONPATH": path},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    # Ctrl-C is for the client.
                    start_new_session=True,
                )

    def forget(self) -> None:
        """Say that one of them has been removed."""
        with self._lock:
            self._count -= 1
            if not self._count and self._shell is not None:
                shell, self._shell = self._shell, None
                shell.communicate(b"done\n")

    def abandon(self) -> None:
        """In the child of a fork: close its copy of the pipe, which is the parent's."""
        shell, self._shell = self._shell, None
        self._lock, self._count = threading.RLock(), 0
        if shell is not None and shell.stdin is not None:
            shell.stdin.close()
            shell.returncode = 0  # it is not this process's child


def sweep_after(owner: Owner) -> None:
    """Remove the containers of a process as soon as it is gone; leave them if it goes on."""
    deadline = time.monotonic() + PATIENCE_S
    while owner.is_alive():
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)
    with docker_client() as client:
        # Twice, for a container that was still being created.
        for pause_s in (0.0, 1.0):
            time.sleep(pause_s)
            for container in started(client):
                if container.owner == owner:
                    remove(client, container.name)


watchdog = Watchdog()
os.register_at_fork(after_in_child=watchdog.abandon)

if __name__ == "__main__":
    sweep_after(Owner.parse(sys.argv[1]))
