"""SessionView: what is noted of a session, and what of it a spectator is shown."""

import math
from typing import Any

import msgspec
import pytest

from openenv.environment import Environment, RunningEpisode
from openenv.protocol.frames import Partial, Reset, Result, Step
from openenv.protocol.wire import JSON, MSGPACK
from openenv.server.runners.spec import EnvironmentSpec
from openenv.server.watching.views import LONGEST_NAME, Form, SessionView, public_name
from tests.server.fakes import FakeDeadlines

WHOLE, BARE = Form(JSON, with_payloads=True), Form(JSON, with_payloads=False)
PACKED = Form(MSGPACK, with_payloads=True)


class Played(Environment[dict[str, Any], dict[str, Any], Any]):
    def reset(self) -> Any: ...
    def step(self, action: Any) -> Any: ...


class FakeSession:
    token = "secret"
    created_at_s = 2.0

    def __init__(self) -> None:
        self.label: str | None = "run"
        self.episode = RunningEpisode("mine")
        self.is_busy = False
        self.watched_view: Any = None


class Stage:
    """A session that one spectator follows."""

    def __init__(self, execution: str = "inline") -> None:
        self.spec = EnvironmentSpec(Played, Played, dict, dict, execution=execution)
        self.deadlines = FakeDeadlines()
        self.changed: list[Any] = []
        self.forms = frozenset([WHOLE])
        self.session = FakeSession()
        self.view = SessionView(self.session, self)

    def step(self, reward: Any = 1.0, **fields: Any) -> None:
        self.session.episode.step_count += 1
        frame = Step(1, 1, msgspec.Raw(msgspec.msgpack.encode({"x": 1})))
        self.view.note(frame, Result(1, {"y": 2}, reward, **fields), "msgpack")

    def shown(self, form: Form = WHOLE) -> dict[str, Any]:
        return msgspec.json.decode(self.view.summary(form))  # type: ignore[no-any-return]


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.view.begin_episode(0)
    stage.view.follow("spectator")
    return stage


def test_a_public_name_does_not_tell_the_token() -> None:
    assert public_name("secret") == public_name("secret") != public_name("other")
    assert "secret" not in public_name("secret")


def test_a_step_is_shown_with_its_action_and_what_it_led_to(stage: Stage) -> None:
    stage.step(1.5, done=True, metadata={"z": 3})
    assert stage.shown() == {
        "session": public_name("secret"),
        "environment": "Played",
        "label": "run",
        "episode_id": "mine",
        "episode": 1,
        "step": 1,
        "reward": 1.5,
        "total_reward": 1.5,
        "done": True,
        "age_s": 3.0,
        "action": {"x": 1},
        "observation": {"y": 2},
        "metadata": {"z": 3},
    }


def test_who_wants_no_payloads_is_shown_the_counts(stage: Stage) -> None:
    stage.step(1.5, metadata={"z": 3})
    assert not {"action", "observation", "metadata"} & set(stage.shown(BARE))
    assert stage.shown(BARE)["total_reward"] == 1.5


def test_payloads_are_shown_in_the_spectator_s_encoding(stage: Stage) -> None:
    stage.step()
    assert msgspec.msgpack.decode(stage.view.summary(PACKED))["action"] == {"x": 1}
    stage.view.note(Step(1, 1, msgspec.Raw(b'{"x":2}')), Result(1, {}), "json")
    assert stage.shown()["action"] == {"x": 2}
    assert msgspec.msgpack.decode(stage.view.summary(PACKED))["action"] == {"x": 2}


def test_a_reset_has_no_action(stage: Stage) -> None:
    stage.view.note(Reset(1, 1), Result(1, {"y": 0}), "msgpack")
    shown = stage.shown()
    assert "action" not in shown
    assert shown["observation"] == {"y": 0}


def test_a_partial_observation_is_shown_without_an_action(stage: Stage) -> None:
    stage.step()
    stage.view.note_partial(Partial(1, {"y": 9}), "msgpack")
    shown = stage.shown()
    assert shown["observation"] == {"y": 9}
    assert "action" not in shown


def test_a_step_of_many_is_shown_by_its_objects(stage: Stage) -> None:
    stage.view.note_observation({"x": 1}, {"y": 2, "reward": 0.5})
    shown = stage.shown()
    assert (shown["action"], shown["observation"]) == ({"x": 1}, {"y": 2})
    assert (shown["reward"], shown["total_reward"]) == (0.5, 0.5)


def test_a_step_of_many_that_is_no_observation_is_shown_without_one(stage: Stage) -> None:
    stage.view.note_observation({"x": 1}, 5)
    assert "observation" not in stage.shown()


# ---- sums and counts


def test_rewards_are_summed_until_the_next_episode(stage: Stage) -> None:
    for reward in (1.0, None, True, 0.5):
        stage.step(reward)
    assert stage.view.total_reward == 2.5
    stage.view.begin_episode(4)
    assert (stage.view.total_reward, stage.view.episode) == (0.0, 2)


def test_a_reward_that_cannot_be_summed_spoils_the_sum_alone(stage: Stage) -> None:
    stage.step(10**400)
    assert math.isnan(stage.view.total_reward)
    assert "reward" not in msgspec.msgpack.decode(stage.view.summary(PACKED))


def test_steps_are_counted_over_episodes_for_their_rate(stage: Stage) -> None:
    for _ in range(4):
        stage.step()
    stage.view.begin_episode(4)
    stage.session.episode = RunningEpisode("next")
    stage.step()
    stage.view.count(0.5)
    assert stage.view.steps_per_s == 10.0
    stage.view.count(0.5)
    assert stage.view.steps_per_s == 0.0


def test_a_rate_that_falls_to_nothing_is_news(stage: Stage) -> None:
    stage.step()
    stage.view.count(1.0)
    stage.view.outdate()
    stage.changed.clear()
    stage.view.count(1.0)
    assert stage.changed == [stage.view]
    stage.view.outdate()
    stage.view.count(1.0)
    assert stage.changed == [stage.view]


def test_long_names_are_cut_off(stage: Stage) -> None:
    stage.session.label = "l" * 1000
    stage.session.episode = RunningEpisode("e" * 1000)
    shown = stage.shown()
    assert len(shown["label"]) == len(shown["episode_id"]) == LONGEST_NAME


# ---- what is new


def test_a_change_is_told_once_until_it_is_known(stage: Stage) -> None:
    stage.step()
    stage.step()
    assert stage.changed == [stage.view]
    stage.view.outdate()
    stage.step()
    assert stage.changed == [stage.view] * 2


def test_nothing_is_told_when_nobody_looks() -> None:
    stage = Stage()
    stage.step()
    stage.view.note_partial(Partial(1, {}), "msgpack")
    stage.view.note_observation({}, {})
    assert stage.changed == []


def test_a_summary_is_encoded_once_until_there_is_something_new(stage: Stage) -> None:
    stage.step()
    stage.view.outdate()
    first = stage.view.summary(WHOLE)
    assert stage.view.summary(WHOLE) is first
    stage.step()
    assert stage.view.summary(WHOLE) is not first


# ---- who looks


def test_the_session_knows_its_view_while_somebody_looks(stage: Stage) -> None:
    stage.view.follow("another")
    stage.view.leave("spectator")
    assert stage.session.watched_view is stage.view
    stage.view.leave("another")
    assert stage.session.watched_view is None
    assert not stage.view.is_changed


@pytest.mark.parametrize(("execution", "is_known"), [("inline", False), ("thread", True)])
def test_what_nobody_has_seen_of_an_inline_environment_is_not_shown(
    execution: str, is_known: bool
) -> None:
    stage = Stage(execution)
    stage.view.begin_episode(0)
    stage.step()
    stage.session.episode.step_count += 5
    stage.view.follow("spectator")
    shown = stage.shown()
    assert ("observation" in shown) is is_known
    assert (shown["total_reward"] is not None) is is_known
    assert shown["step"] == 6


def test_who_comes_back_before_another_step_has_missed_nothing(stage: Stage) -> None:
    stage.step()
    stage.view.leave("spectator")
    stage.view.follow("spectator")
    assert stage.shown()["observation"] == {"y": 2}
    stage.view.leave("spectator")
    stage.session.episode.step_count += 1
    stage.view.follow("spectator")
    assert "observation" not in stage.shown()


def test_the_next_episode_has_missed_nothing() -> None:
    stage = Stage()
    stage.session.episode.step_count = 5
    stage.view.follow("spectator")
    assert stage.shown()["total_reward"] is None
    stage.view.begin_episode(5)
    stage.view.note(Reset(1, 1), Result(1, {}), "msgpack")
    assert stage.shown().get("total_reward", 0) == 0


# ---- what a thread is changing


def test_what_a_thread_may_be_changing_is_encoded_when_it_comes_to_rest() -> None:
    stage = Stage("thread")
    stage.view.begin_episode(0)
    stage.view.follow("spectator")
    stage.step()
    stage.view.outdate()
    stage.session.is_busy = True
    assert "observation" not in stage.shown()
    # The next outcome is encoded as soon as it comes, and that is shown from then on.
    stage.step(2.0)
    assert stage.shown()["observation"] == {"y": 2}
    assert stage.shown()["reward"] == 2.0


def test_a_partial_observation_of_a_thread_is_shown_at_once() -> None:
    stage = Stage("thread")
    stage.view.follow("spectator")
    stage.view.note_partial(Partial(1, {"y": 9}), "msgpack")
    stage.session.is_busy = True
    assert stage.shown()["observation"] == {"y": 9}


# ---- what cannot be encoded


def test_a_payload_that_cannot_be_encoded_is_left_out(stage: Stage) -> None:
    stage.view.note(Step(1, 1, object()), Result(1, {"y": object()}, 1.0), "msgpack")
    shown = stage.shown()
    assert shown["reward"] == 1.0
    assert not {"action", "observation"} & set(shown)
