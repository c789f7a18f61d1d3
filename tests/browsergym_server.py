"""The browsergym environment in an installation of its own, and a server of it.

BrowserGym's pins conflict with what other tests need. The installation is made once per checkout,
and takes a minute.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers.installation import Release, python_of
from tests.patience import patient

ROOT = Path(__file__).parents[1]
BROWSERGYM = Release("browsergym-core", "0.14.3", ("--editable", f"{ROOT}[browsergym,cli]"))
FOLDER = ROOT / "envs" / "browsergym_env"
END_S = 30


class Served:
    """A server process, and the URL at which it answers."""

    def __init__(self, process: "subprocess.Popen[str]", url: str) -> None:
        self.process, self.url = process, url

    def processes(self) -> list[int]:
        """What the server has started and what that has started, but for what has ended."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                _, _, rest = (entry / "stat").read_text().rpartition(")")
            except OSError:
                continue
            status, parent, *_ = rest.split()
            if status != "Z":
                children.setdefault(int(parent), []).append(int(entry.name))
        found, to_ask = [], [self.process.pid]
        while to_ask:
            below = children.get(to_ask.pop(), [])
            found += below
            to_ask += below
        return found


@contextmanager
def serving_browsers(**variables: str) -> Iterator[Served]:
    """Serve it on a free port; the variables are the server's."""
    python = python_of(BROWSERGYM)
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [python.with_name("openenv"), "serve", FOLDER, "--port", "0"],
            env=os.environ | variables,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            assert process.stdout is not None
            found = re.search(r"http:\S+", process.stdout.readline())
            if found is None:
                log.seek(0)
                raise AssertionError(log.read())
            yield Served(process, found.group())
        finally:
            process.terminate()
            process.communicate(timeout=patient(END_S))
