"""EnvironmentContract: tests of what servers and clients rely on in every environment.

Needs no test library; pytest collects subclasses whose names begin with Test. inprocess.py calls
the environment; an exception of the environment fails the test.
"""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any

from openenv.codec import plain
from openenv.payloads import PAYLOADS
from openenv.protocol.wire import JSON, MSGPACK
from openenv.testing.inprocess import Instance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openenv.arrays import Encoding


class EnvironmentContract:
    """The tests; each makes its own instances of the environment.

    Subclass it, and define `make_environment` and `make_action`.
    """

    action_cls: Any = None
    observation_cls: Any = None
    state_cls: Any = None
    "The payload classes, as create_app takes them; None takes those of the environment's class."
    seed = 7
    steps = 3
    "The most steps of an episode in these tests."

    def make_environment(self) -> Any:
        """Return a new environment."""
        raise NotImplementedError(f"{type(self).__name__} must define make_environment()")

    def make_action(self, observation: Any) -> Any:
        """Return an action that may follow this observation."""
        raise NotImplementedError(f"{type(self).__name__} must define make_action()")

    def test_reset_and_step_return_observations(self) -> None:
        """Check that observations are of the environment's observation class."""
        with self._instance() as instance:
            cls = instance.spec.replies.observation.cls
            due: Any = cls if isinstance(cls, type) and cls is not Any else object
            for method, observation in self._play(instance):
                what = type(observation).__name__
                assert observation is not None, f"{method} returns an observation, not None"
                assert isinstance(observation, due), f"{method} returns {due.__name__}, not {what}"

    def test_rewards_are_numbers_or_none(self) -> None:
        """Check the rewards, which training adds up."""
        with self._instance() as instance:
            for method, observation in self._play(instance):
                reward = _field(observation, "reward")
                is_number = reward is None or isinstance(reward, Real)
                assert is_number, f"the reward of {method} is a number or None, not {reward!r}"

    def test_done_and_truncated_are_true_or_false(self) -> None:
        """Check that both fields are bools in every observation."""
        with self._instance() as instance:
            for method, observation in self._play(instance):
                for name in ("done", "truncated"):
                    value = _field(observation, name, False)
                    is_bool = isinstance(value, bool)
                    assert is_bool, f"{name} of {method} is True or False, not {value!r}"

    def test_the_same_seed_begins_the_same_episode(self) -> None:
        """Check this after another episode, and in another instance."""
        with self._instance() as instance:
            first, *_ = [instance.payload(observation) for _, observation in self._play(instance)]
            assert instance.payload(instance.reset(self.seed)) == first, (
                "a seed begins the same episode again"
            )
        with self._instance() as other:
            elsewhere = other.payload(other.reset(self.seed))
        assert elsewhere == first, "a seed begins the same episode in every instance"

    def test_an_episode_may_be_given_a_name(self) -> None:
        """Check that reset takes an episode_id, which every collection of episodes passes."""
        with self._instance() as instance:
            first, named = (instance.reset(self.seed, name) for name in (None, "named"))
            assert type(named) is type(first), f"reset takes an episode_id, and returns {first!r}"

    def test_the_state_counts_steps(self) -> None:
        """Check that the state's step_count grows with each step."""
        with self._instance() as instance:
            counts = [_step_count(instance) for _ in self._play(instance)]
        assert counts == sorted(set(counts)), f"step_count grows with each step, not like {counts}"

    def test_close_is_harmless(self) -> None:
        """Check `close` before the first reset, and in the middle of an episode."""
        with self._instance() as instance:
            instance.close()
        with self._instance() as instance:
            instance.reset()
            instance.close()

    def test_instances_share_no_episode(self) -> None:
        """Check that another instance's episode does not change the state of this one.

        Environments that are not concurrent have only one instance at a time.
        """
        with self._instance() as instance:
            *_, before = [_step_count(instance) for _ in self._play(instance)]
            if instance.spec.convention.is_concurrent:
                with self._instance() as other:
                    *_, _ = self._play(other)
                    other.reset()
            assert _step_count(instance) == before, "an episode does not show in another instance"

    def test_a_snapshot_goes_on_as_the_episode_did(self) -> None:
        """Check this in another instance, if the environment has `snapshot` and `restore`."""
        with self._instance() as instance, self._instance() as other:
            if not (
                hasattr(instance.environment, "snapshot")
                and hasattr(instance.environment, "restore")
            ):
                return
            observation = instance.reset(self.seed)
            other.call("restore", instance.call("snapshot"))
            for _ in range(self.steps):
                if _field(observation, "done") or _field(observation, "truncated"):
                    break
                action = self.make_action(observation)
                observation, branch = instance.step(action), other.step(action)
                assert other.payload(branch) == instance.payload(observation), (
                    "what is restored goes on as the episode did"
                )

    def test_payload_classes_have_json_schemas(self) -> None:
        """Check that actions, observations and states are objects with named fields."""
        with self._instance() as instance:
            for name in PAYLOADS:
                schema = getattr(instance.spec.replies, name).json_schema()
                assert schema.get("type") == "object", f"the {name} has named fields: {schema}"

    def test_payloads_survive_the_wire(self) -> None:
        """Check that decoding an encoded payload gives the same payload."""
        with self._instance() as instance:
            replies, observation = instance.spec.replies, instance.reset(self.seed)
            action = replies.action.convert(plain(self.make_action(observation)))
            result, state = replies.result(1, observation), instance.state

            def receive(raw: Any, encoding: Encoding) -> Any:
                received = replies.observation.restore(raw, encoding, result)
                return replies.result(1, received).observation

            trips: tuple[tuple[str, Any, Callable[..., Any]], ...] = (
                ("action", action, replies.action.decode),
                ("observation", result.observation, receive),
                ("state", state, replies.state.decode),
            )
            for wire in (MSGPACK, JSON):
                for name, sent, decode in trips:
                    raw = wire.encode(plain(sent))
                    received = wire.encode(plain(decode(raw, wire.encoding)))
                    assert received == raw, f"the {name} arrives in {wire.encoding} as it was sent"

    def _instance(self) -> Instance:
        classes = self.action_cls, self.observation_cls, self.state_cls
        return Instance(self.make_environment, *classes)

    def _play(self, instance: Instance) -> Iterator[tuple[str, Any]]:
        """Yield (method, observation) for the reset and each step of an episode."""
        observation = instance.reset(self.seed)
        yield "reset", observation
        while instance.step_count < self.steps and not (
            _field(observation, "done") or _field(observation, "truncated")
        ):
            observation = instance.step(self.make_action(observation))
            yield "step", observation


def _field(payload: Any, name: str, default: Any = None) -> Any:
    return (
        payload.get(name, default) if isinstance(payload, dict) else getattr(payload, name, default)
    )


def _step_count(instance: Instance) -> int:
    count = _field(instance.state, "step_count")
    assert isinstance(count, int), f"the state has a step_count, a whole number, not {count!r}"
    return count
