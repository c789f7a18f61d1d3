"""The published releases' own clients, unmodified, in their own processes, against our server."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from benchmarks.peers.installation import FIRST, NEWEST, RENAMED_FROM, python_of
from benchmarks.peers.program import running
from tests.patience import patient

# The first run installs the releases.
pytestmark = pytest.mark.timeout(900)

Play = Callable[[str, str], dict[str, Any]]
_ANSWER_S = patient(30)


def _player(release: Any, program: str) -> Iterator[Play]:
    with running([python_of(release), f"benchmarks/peers/programs/{program}"]) as player:
        yield lambda scenario, url: player.ask({"scenario": scenario, "url": url}, _ANSWER_S)


@pytest.fixture(scope="module", params=[RENAMED_FROM, NEWEST], ids=str)
def play(request: pytest.FixtureRequest) -> Iterator[Play]:
    yield from _player(request.param, "play.py")


@pytest.fixture(scope="module")
def play_first() -> Iterator[Play]:
    yield from _player(FIRST, "play_first.py")


def _server(*arguments: str) -> Iterator[str]:
    with running([sys.executable, "-m", "tests.compat.serve_ours", *arguments]) as server:
        yield server.announcement["url"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    yield from _server()


@pytest.fixture(scope="module")
def url_with_one_slot() -> Iterator[str]:
    yield from _server("--sessions", "1")


def test_a_generic_client_plays_an_episode(play: Play, url: str) -> None:
    seen = play("generic_episode", url)
    assert seen["reset"]["observation"]["echoed_message"] == "Echo environment ready!"
    assert seen["reset"]["done"] is False
    assert seen["step"]["observation"]["echoed_message"] == "Hello, World!"
    assert seen["step"]["observation"]["message_length"] == 13
    assert seen["step"]["reward"] == pytest.approx(1.3)
    assert seen["generic_action"]["observation"]["echoed_message"] == "again"
    assert seen["state"]["step_count"] == 2


def test_an_envclient_subclass_plays_an_episode(play: Play, url: str) -> None:
    seen = play("typed_episode", url)
    assert seen["reset"]["observation"]["echoed_message"] == "Echo environment ready!"
    assert seen["step"]["observation"]["message_length"] == 13
    assert seen["step"]["reward"] == pytest.approx(1.3)
    assert seen["step"]["done"] is False
    assert seen["state"]["step_count"] == 1


def test_a_sync_client_plays_an_episode(play: Play, url: str) -> None:
    seen = play("sync_episode", url)
    assert seen["step"]["observation"]["echoed_message"] == "Hello, World!"
    assert seen["state"]["step_count"] == 1


def test_reset_passes_the_episode_id_and_drops_unknown_options(play: Play, url: str) -> None:
    seen = play("reset_options", url)
    assert seen["reset"]["observation"]["echoed_message"] == "Echo environment ready!"
    assert seen["state"]["episode_id"] == "seventh"


def test_a_bad_action_is_a_validation_error_and_the_session_lives_on(play: Play, url: str) -> None:
    seen = play("bad_action", url)
    assert seen["bad"]["raised"] == "RuntimeError"
    assert "(code: VALIDATION_ERROR)" in seen["bad"]["message"]
    assert seen["after"]["observation"]["echoed_message"] == "still here"


def test_an_environment_that_raises_is_an_execution_error(play: Play, url: str) -> None:
    seen = play("raising_environment", url)
    assert seen["raising"]["raised"] == "RuntimeError"
    assert "told to raise" in seen["raising"]["message"]
    assert "(code: EXECUTION_ERROR)" in seen["raising"]["message"]
    assert seen["after"]["observation"]["echoed_message"] == "still here"


def test_one_session_too_many_is_refused_with_the_code(play: Play, url_with_one_slot: str) -> None:
    seen = play("one_too_many", url_with_one_slot)
    assert "(code: CAPACITY_REACHED)" in seen["refused"]["message"]
    assert seen["first"]["observation"]["echoed_message"] == "mine"


def test_closing_a_client_frees_its_slot(play: Play, url_with_one_slot: str) -> None:
    assert play("slot_freed_by_close", url_with_one_slot)["lengths"] == [1, 2, 3]


def test_sessions_of_many_sockets_do_not_mix(play: Play, url: str) -> None:
    assert play("many_sessions", url)["step_counts"] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_the_first_release_plays_an_episode_over_http(play_first: Play, url: str) -> None:
    seen = play_first("episode", url)
    assert seen["reset"]["observation"]["echoed_message"] == "Echo environment ready!"
    assert seen["step"]["observation"]["message_length"] == 13
    assert seen["step"]["reward"] == pytest.approx(1.3)
    assert seen["state"]["step_count"] == 1


def test_clients_of_the_first_release_have_a_session_each(play_first: Play, url: str) -> None:
    assert play_first("two_clients", url)["step_counts"] == [2, 1]
