"""Folders of environments that tell who runs them, and processes seen from outside."""

import os
import select
from pathlib import Path

from tests.patience import patient

APP = """
import os
from pathlib import Path
from openenv.app import create_app
from openenv.environment import Environment

{preamble}

class Told(Environment):
    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "inline"

    def reset(self):
        return {{"pid": os.getpid(), "told": os.environ.get("TOLD")}}

    def step(self, action):
        return {{"echo": action}}

app = create_app(Told, dict, dict)
"""


def write_environment(folder: Path, preamble: str = "", manifest: str = "") -> Path:
    """Write an environment whose app begins with some code of a test's."""
    (folder / "server").mkdir(parents=True)
    (folder / "server/__init__.py").touch()
    (folder / "server/app.py").write_text(APP.format(preamble=preamble))
    (folder / "openenv.yaml").write_text(f"name: {folder.name}\n{manifest}")
    return folder


def wait_until_gone(pid: int, timeout_s: float = patient(20)) -> None:
    """Return when a process, which need not be this one's child, has ended."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        gone, _, _ = select.select([process], [], [], timeout_s)
    finally:
        os.close(process)
    assert gone, f"process {pid} still runs"


def logs_of(name: str, folder: Path) -> list[Path]:
    """Return what logs of an environment's there are."""
    return list(folder.glob(f"openenv-{name}-*.log"))
