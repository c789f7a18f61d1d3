"""`with registry(folder) as host`: a real registry of images on a free port of this machine.

Where the program is not installed tests are skipped, unless OPENENV_TEST_DOCKER is set.
"""

import os
import re
import shutil
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

PROGRAM = "docker-registry"
USER, PASSWORD = "tester", "correct horse"
HTPASSWD = "tester:$2b$04$IQDGZdO9WLgsoAj7ipoymeud9ziaz6qWxx5EC7bgQvD/Cm3yYtSNu\n"


def unique_name(purpose: str) -> str:
    """Name an environment as no other run of the tests does, with which Docker may be shared."""
    return f"tests_{purpose}_{uuid.uuid4().hex[:8]}_env"


@contextmanager
def registry(folder: Path, *, login: bool = False) -> Iterator[str]:
    """Yield its host and port; with `login` only USER may use it."""
    if shutil.which(PROGRAM) is None and not os.environ.get("OPENENV_TEST_DOCKER"):
        pytest.skip(f"opt-in: needs {PROGRAM}, Debian's package of that name")
    folder.mkdir(exist_ok=True)
    config: dict[str, Any] = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "http": {"addr": "127.0.0.1:0"},
    }
    if login:
        (folder / "htpasswd").write_text(HTPASSWD)
        config["auth"] = {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}
    (folder / "registry.yml").write_text(yaml.safe_dump(config))
    process = subprocess.Popen(
        [PROGRAM, "serve", folder / "registry.yml"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stderr is not None
            log = []
            for line in process.stderr:
                log.append(line)
                listening = re.search(r"listening on (127\.0\.0\.1:\d+)", line)
                if listening:
                    break
            else:
                raise AssertionError("".join(log))
            # A pipe that nobody reads would stop it once it is full.
            reading = threading.Thread(target=process.stderr.read)
            reading.start()
            try:
                yield listening[1]
            finally:
                process.terminate()
                reading.join()
        finally:
            process.terminate()


def docker_login(host: str, config: Path) -> None:
    """Log in as users do, into a folder that stands for `~/.docker`."""
    command = ["docker", "--config", config, "login", "-u", USER, "--password-stdin", host]
    subprocess.run(command, input=PASSWORD, text=True, check=True, capture_output=True)


def remove_images(daemon: Any, environment: str) -> None:
    """Remove what was built of an environment of this name, and the containers of it."""
    for image in daemon.images.list(filters={"label": f"openenv.environment={environment}"}):
        for container in daemon.containers.list(all=True, filters={"ancestor": image.id}):
            container.remove(force=True)
        daemon.images.remove(image.id, force=True)
