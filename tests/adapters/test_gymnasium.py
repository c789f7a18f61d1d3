"""Environments of Gymnasium, served: the same episodes as without a server."""

import gymnasium
import numpy as np
import pytest

from openenv.adapters.gymnasium import class_of_target, environment_class
from openenv.errors import ConfigurationError, EnvironmentFault, PayloadError
from openenv.server.workers.blueprint import blueprint_of
from tests.adapters import worlds  # noqa: F401 - registers them
from tests.interaction.worlds import world
from tests.patience import within


class Slippery(environment_class("CartPole-v1")):  # type: ignore[misc]
    """A subclass of a class that a function has made."""


@pytest.mark.parametrize("transport", ["websocket", "json", "legacy", "http"])
async def test_an_episode_is_the_one_that_gymnasium_plays(transport: str) -> None:
    mine = gymnasium.make("CartPole-v1")
    async with world(transport, environment_class("CartPole-v1")) as one, within(20):
        env = await one.client()
        result = await env.reset(seed=7)
        expected, _ = mine.reset(seed=7)
        done = False
        while not done:
            seen = np.asarray(result.observation["observation"], np.float32)
            np.testing.assert_array_equal(seen, expected)
            action = int(expected[2] > 0)
            result = await env.step({"action": action})
            expected, reward, done, _, _ = mine.step(action)
            assert (result.reward, result.done) == (reward, done)


async def test_a_dict_of_observations_becomes_fields_and_info_metadata() -> None:
    async with world("websocket", environment_class("test/Room-v0")) as one, within(20):
        env = await one.client()
        first = await env.reset(seed=1, difficulty=3)
        assert first.metadata == {"options": {"difficulty": 3}}
        assert first.observation["image"].shape == (2, 2, 3)
        assert first.observation["direction"] in range(4)
        assert isinstance(first.observation["mission"], str)
        results = [await env.step({"action": [0.5, -0.5]}) for _ in range(3)]
        assert [result.truncated for result in results] == [False, False, True]
        assert results[0].metadata == {"count": 1, "when": [0.5], "who": "<class 'object'>"}


async def test_actions_outside_of_the_space_change_nothing() -> None:
    async with world("websocket", environment_class("test/Room-v0")) as one, within(20):
        env = await one.client()
        await env.reset()
        with pytest.raises(EnvironmentFault, match="is not in Box"):
            await env.step({"action": [0.0, 2.0]})
        with pytest.raises(PayloadError, match="action"):
            await env.step({"action": "left"})
        assert (await env.step({"action": [0.0, 1.0]})).metadata["count"] == 1


async def test_a_target_gives_options_and_wrappers() -> None:
    wrapped = class_of_target(
        "gym:test/Room-v0?render_mode=rgb_array"
        "&wrapper=tests.adapters.worlds:Doubled&wrapper=tests.adapters.worlds:Doubled"
    )
    environment = wrapped()
    environment.reset()
    [action] = [wrapped.__orig_bases__[0].__args__[0]]  # type: ignore[attr-defined]
    assert environment.step(action(action=[0, 0])).reward == 2.0
    assert environment.render().shape == (2, 3, 3)
    environment.close()
    limited = class_of_target("gym:CartPole-v1?max_episode_steps=2")()
    assert limited._env.spec.max_episode_steps == 2


async def test_it_runs_in_worker_processes() -> None:
    made = environment_class("CartPole-v1", max_episode_steps=2)
    async with world("websocket", made, execution="process") as one, within(30):
        env = await one.client()
        await env.reset(seed=7)
        results = [await env.step({"action": 0}) for _ in range(2)]
        assert [result.truncated for result in results] == [False, True]


def test_a_subclass_is_what_worker_processes_make() -> None:
    assert blueprint_of(Slippery, [], debug=False).load() == (Slippery, [])


async def test_it_is_described_by_its_spaces() -> None:
    environment = environment_class("CartPole-v1")()
    info = environment.get_metadata()
    assert (info.name, info.version) == ("CartPole-v1", gymnasium.__version__)
    assert "Discrete(2)" in info.description
    environment.close()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("gym:CartPole-v99", "CartPole"),
        ("gym:no_such_module:X-v0", "no_such_module"),
        ("gym:CartPole-v1?no_such_option=1", "no_such_option"),
        ("gym:CartPole-v1?wrapper=gymnasium.wrappers:NoSuch", "NoSuch"),
        ("gym:CartPole-v1?wrappers=1", "wrappers"),
        ("gym:FrozenLake-v1?map_name=9x9", "KeyError: '9x9'"),
        ("gym:test/Lamp-v0", "cannot travel"),
    ],
)
def test_what_cannot_be_made_is_said(target: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        class_of_target(target)
