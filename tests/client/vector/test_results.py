"""From outcomes to observations, rewards, flags and infos."""

from typing import Any

import msgspec
import pytest

from openenv.client.generic import GenericEnvClient
from openenv.client.vector.flight import StepOutcome, VectorRequests
from openenv.client.vector.results import VectorResults, brief
from openenv.errors import EnvironmentFault
from openenv.protocol.frames import Result
from tests.client.test_session import Link


def results(count: int = 3) -> VectorResults:
    """Results of sessions that have shown 10, 11, 12, ... so far."""
    clients = [GenericEnvClient("http://127.0.0.1:9", link=Link()) for _ in range(count)]
    requests = VectorRequests(clients, begins_at_once=False, wait_s=0)
    vector = VectorResults(requests, clients, stack=True)
    begun = [StepOutcome(index, reply(10 + index)) for index in range(count)]
    assert vector.arrays(begun, in_order=False)[0].tolist() == [10, 11, 12][:count]
    return vector


def reply(observed: int, metadata: dict[str, Any] | None = None) -> Result:
    return Result(1, msgspec.Raw(msgspec.msgpack.encode(observed)), metadata=metadata)


def test_each_outcome_is_in_the_row_of_its_session_and_the_others_keep_theirs() -> None:
    stepped = [StepOutcome(2, reply(7), 1.5, terminated=True)]
    observations, rewards, done, truncated, _ = results().arrays(stepped, in_order=False)
    assert observations.tolist() == [10, 11, 7]
    assert rewards.tolist() == [0.0, 0.0, 1.5]
    assert (done.tolist(), truncated.tolist()) == ([False, False, True], [False] * 3)


def test_outcomes_in_order_say_whose_they_are() -> None:
    stepped = [StepOutcome(2, reply(7, {"lives": 3}), 1.5), StepOutcome(0, reply(5), 0.5)]
    observations, rewards, _, _, infos = results().arrays(stepped, in_order=True)
    assert (observations.tolist(), rewards.tolist()) == ([7, 5], [1.5, 0.5])
    assert infos["env_id"].tolist() == [2, 0]
    assert infos["lives"].tolist() == [3, 0]


def test_a_failed_session_is_truncated_and_keeps_its_observation() -> None:
    fault = EnvironmentFault("its own")
    stepped = [StepOutcome(0, reply(7)), StepOutcome(1, truncated=True, error=fault)]
    observations, _, _, truncated, infos = results().arrays(stepped, in_order=False)
    assert observations.tolist() == [7, 11, 12]
    assert truncated.tolist() == [False, True, False]
    assert infos["session_error"].tolist() == [None, fault, None]


def test_an_observation_that_does_not_fit_fails_its_session() -> None:
    bad = Result(1, msgspec.Raw(msgspec.msgpack.encode("text")))
    vector = results()
    stepped = [StepOutcome(0, reply(7)), StepOutcome(1, bad)]
    observations, _, _, truncated, infos = vector.arrays(stepped, in_order=False)
    assert (observations.tolist(), truncated.tolist()) == ([7, 11, 12], [False, True, False])
    assert infos["_session_error"].tolist() == [False, True, False]
    assert vector._flight.over == {1}


def test_if_all_sessions_have_failed_the_first_error_is_raised() -> None:
    faults = [EnvironmentFault(name) for name in ("first", "second")]
    failed = [StepOutcome(index, truncated=True, error=faults[index]) for index in (1, 0)]
    with pytest.raises(EnvironmentFault) as raised:
        results().arrays(failed, in_order=False)
    assert raised.value is faults[0]
    assert raised.value.env_ids == (0, 1)


def test_the_last_observation_of_an_episode_is_beside_the_first_of_the_next() -> None:
    ended = StepOutcome(1, reply(0), 5.0, True, is_final=True, final=reply(99, {"won": True}))
    observations, _, _, _, infos = results().arrays([ended], in_order=False)
    assert observations.tolist() == [10, 0, 12]
    assert infos["final_obs"].tolist() == [None, 99, None]
    assert infos["final_info"]["won"].tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("count", "text"), [(2, "[0, 1]"), (9, "[0, 1, 2, 3, 4, 5, 6, 7, ... 9 in all]")]
)
def test_many_numbers_of_sessions_are_cut_short(count: int, text: str) -> None:
    assert brief(range(count)) == text
