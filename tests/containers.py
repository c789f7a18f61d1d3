"""The echo environment in an image, and what is left of its containers, by a real Docker daemon.

Tests ask for the fixture `containers` (tests/conftest.py). Its image has a name that no other run
of the tests has, so that they count and remove only their own; building it takes a moment when
Docker has it in its cache. Where no daemon answers, the tests are skipped, or fail if the variable
OPENENV_TEST_DOCKER is set.
"""

import gc
import json
import os
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import docker
import pytest
from docker.errors import DockerException, ImageNotFound, NotFound

from openenv.cli.docker_build import build_image, find_builder
from openenv.cli.images import plan_image
from openenv.errors import ConfigurationError
from openenv.providers.docker_cleanup import DETACHED, IMAGE_LABEL, OWNER_LABEL, remove
from openenv.providers.ownership import Owner
from tests.patience import patient
from tests.processes import ROOT

REQUIRED = "OPENENV_TEST_DOCKER"
"The variable with which nothing may be skipped for want of Docker or of what belongs to it."
TESTS_LABEL = "openenv.tests"
"Of the image, and of all images and containers that are made of it."
SERVED = "openenv.cli.main, openenv.server.serve, echo_env.server.app"


class Containers:
    """The containers of one image, which is the tests' own, and of this process."""

    def __init__(self, client: Any, image: str) -> None:
        self.client = client
        self.image = image

    def left(self) -> list[str]:
        """Return the names of those that exist, in whatever state."""
        listed = self.client.api.containers(all=True, filters={"label": OWNER_LABEL})
        return [one["Names"][0].lstrip("/") for one in listed if self._is_ours(one["Labels"])]

    def get(self, name: str | None) -> Any:
        """Return the docker.models.Container of a name."""
        return self.client.containers.get(name)

    def wait_until_gone(self, name: str, timeout_s: float = patient(20)) -> None:
        """Return when a container has been removed."""
        with suppress(NotFound):
            self.client.api.wait(name, condition="removed", timeout=timeout_s)

    @contextmanager
    def image_of(
        self, name: str, files: Mapping[str, str], *command: str, more: str = ""
    ) -> Iterator[None]:
        """Have an image meanwhile: the tests' own with some files more, and another command.

        If there is another one of this name, it is back afterwards.
        """
        other = self._find_image(name)
        with TemporaryDirectory() as folder:
            for path, text in files.items():
                Path(folder, path).write_text(text, "utf-8")
            lines = [f"FROM {self.image}", "COPY . /app/", f"CMD {json.dumps(command)}", more]
            Path(folder, "Dockerfile").write_text("\n".join(lines), "utf-8")
            self.client.images.build(path=folder, tag=name, rm=True)
        try:
            yield
        finally:
            _untag(self.client, name)
            if other is not None:
                other.tag(name)

    def _find_image(self, name: str) -> Any:
        with suppress(ImageNotFound):
            return self.client.images.get(name)
        return None

    def _is_ours(self, labels: Mapping[str, str]) -> bool:
        if labels.get(IMAGE_LABEL) == self.image:
            return True
        owner = labels[OWNER_LABEL]
        with suppress(ConfigurationError):  # another version's
            return owner != DETACHED and Owner.parse(owner) == Owner.this_process()
        return False


@contextmanager
def image_of_echo() -> Iterator[Containers]:
    """Build the image, and remove it afterwards; what it took long to make stays in a cache."""
    client = daemon_or_skip()
    name = f"openenv-tests-{uuid.uuid4().hex[:8]}:latest"
    label = f"{TESTS_LABEL}={name}"
    build_image(plan_image(ROOT / "envs/echo_env", tags=[name]), find_builder())
    # Python's own modules may lie in the image as sources, which the server's user cannot keep
    # compiled: that is a second at each start.
    lines = (
        *(f"FROM {name}", f"LABEL {label}", "USER root"),
        *(f"RUN python -c 'import {SERVED}'", "USER 1000:1000"),
    )
    try:
        client.images.build(fileobj=BytesIO("\n".join(lines).encode()), tag=name, rm=True)
        yield Containers(client, name)
    finally:
        _untag(client, name)
        left = _remove_labelled(client, label)
        client.close()
    assert not left, f"left of the tests: {left}"


@contextmanager
def none_left(containers: Containers) -> Iterator[None]:
    """Fail if containers are left at the end, and remove them."""
    try:
        yield
    finally:
        left = containers.left()
        for name in left:
            remove(containers.client, name)
    assert not left, f"containers left: {left}"


def daemon_or_skip() -> Any:
    """Return a client of the daemon, or skip the test."""
    try:
        client = docker.from_env()
        client.ping()
    except DockerException as error:
        if os.environ.get(REQUIRED):
            raise
        why = str(error)
    else:
        return client
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()  # the SDK leaves its socket open
    pytest.skip(f"opt-in: needs a Docker daemon, and none answers: {why}")


def _remove_labelled(client: Any, label: str) -> list[str]:
    """Remove the containers and images that have a label; return what there was."""
    containers = client.containers.list(all=True, filters={"label": label}, ignore_removed=True)
    for container in containers:
        container.remove(force=True)
    images = client.images.list(filters={"label": label})
    for image in images:
        with suppress(ImageNotFound):  # it went with another one
            client.images.remove(image.id, force=True)
    # One without a name has lost it to these tests, when Docker still removed a container of it.
    return [one.name for one in containers] + [str(one.tags) for one in images if one.tags]


def _untag(client: Any, name: str) -> None:
    with suppress(ImageNotFound):
        client.images.remove(name, force=True)  # a failed test may have left a container of it
