"""How an image gets here: pulled from a registry when it is missing, always, or never."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from openenv.errors import ImageNotFound, ProviderError
from openenv.providers.docker import LocalDockerProvider
from openenv.providers.docker_images import find_image
from openenv.providers.docker_options import ContainerOptions
from tests.containers import Containers
from tests.registry import registry

SLEEP = ["sleep", "60"]


@pytest.fixture
def pushed(containers: Containers, tmp_path: Path) -> Iterator[str]:
    """The name of an image that only a registry has."""
    with registry(tmp_path / "registry") as host:
        name = f"{host}/some-env"
        containers.client.images.get(containers.image).tag(name, "1.0")
        for line in containers.client.api.push(name, "1.0", stream=True, decode=True):
            assert "error" not in line, line
        containers.client.images.remove(f"{name}:1.0", noprune=True)
        yield f"{name}:1.0"
        containers.client.images.remove(f"{name}:1.0", noprune=True)


def test_an_image_that_is_not_here_is_pulled(containers: Containers, pushed: str) -> None:
    provider = LocalDockerProvider(command=SLEEP)
    with pytest.raises(ImageNotFound, match="may not be pulled"):
        provider.start_container(pushed, pull="never")
    given_up = threading.Event()
    given_up.set()
    with pytest.raises(ProviderError, match="given up"):
        find_image(containers.client, pushed, ContainerOptions(), given_up)
    provider.start_container(pushed)
    provider.stop_container()
    # It is here by now.
    provider.start_container(pushed, pull="never")
    provider.stop_container()
    provider.start_container(pushed, pull="always")
    provider.stop_container()
    with pytest.raises(ImageNotFound, match=r"2\.0"):
        provider.start_container(pushed.replace(":1.0", ":2.0"))
    assert containers.left() == []
