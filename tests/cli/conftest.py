"""Docker, for the tests of commands that make images."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.containers import daemon_or_skip


@pytest.fixture
def daemon() -> Iterator[Any]:
    """A docker.DockerClient; where no daemon answers the test is skipped."""
    client = daemon_or_skip()
    yield client
    client.close()
