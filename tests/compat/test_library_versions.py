"""Our server and client with the oldest and the newest libraries that the pins allow."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers.installation import NEWEST_RELEASE, Release, python_of
from benchmarks.peers.program import running
from tests.compat.play_ours import LENGTHS

# The first run installs the libraries.
pytestmark = pytest.mark.timeout(900)

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
FIRST_DIRECT = "0.53.0"
"The first uvicorn that SessionSocket works with."


def pins() -> dict[str, str]:
    """Return what pyproject.toml asks of each library: name with extras -> oldest version."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["server"]]
    return dict(requirement.split(">=") for requirement in asked)


def oldest(**newer: str) -> Release:
    """Return the oldest uvicorn and what goes with it, but of these libraries newer versions."""
    exact = {re.sub(r"\[.*", "", name): number for name, number in pins().items()} | newer
    uvicorn = exact.pop("uvicorn")
    # Wheels of the oldest PyYAML and msgspec are not there for every Python.
    companions = [f"{name}=={exact[name]}.*" for name in ("anyio", "starlette", "websockets")]
    return Release("uvicorn", uvicorn, ("msgspec", "pyyaml", "uvloop", "httptools", *companions))


def newest() -> Release:
    companions = ("anyio", "msgspec", "pyyaml", "starlette", "uvloop", "httptools", "websockets")
    return Release("uvicorn", NEWEST_RELEASE, companions)


def played(release: Release) -> dict[str, Any]:
    with running([python_of(release), "-m", "tests.compat.play_ours"]) as player:
        seen = player.announcement
    assert seen["lengths"] == list(LENGTHS)
    return seen


def test_the_oldest_libraries_play_over_plain_asgi_with_one_warning() -> None:
    seen = played(oldest())
    assert seen["versions"]["uvicorn"].startswith(pins()["uvicorn[standard]"])
    assert seen["versions"]["websockets"].startswith(pins()["websockets"])
    assert not seen["is_direct"]
    assert seen["warnings"] == ["openenv.server"]


@pytest.mark.parametrize(
    "release", [oldest(uvicorn=FIRST_DIRECT), newest()], ids=["first direct", "newest"]
)
def test_newer_libraries_play_over_sessions_own_sockets(release: Release) -> None:
    seen = played(release)
    assert seen["is_direct"]
    assert seen["warnings"] == []


def test_the_newest_libraries_are_as_new_as_those_of_the_other_tests() -> None:
    seen = played(newest())

    def numbers(name: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", name)]

    for name in ("uvicorn", "websockets"):
        assert numbers(seen["versions"][name]) >= numbers(version(name))
