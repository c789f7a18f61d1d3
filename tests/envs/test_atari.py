"""The atari environment: pictures, actions, seeds, settings, and episodes over a real server."""

from typing import Any

import ale_py
import gymnasium
import numpy as np
import pytest

from envs.atari_env import AtariAction, AtariEnv, AtariObservation
from envs.atari_env.server.app import app, options_of
from envs.atari_env.server.console import game_files
from envs.atari_env.server.environment import AtariEnvironment, InvalidAction
from envs.atari_env.server.pictures import scaler
from openenv.app import create_app
from openenv.errors import ConfigurationError, EnvironmentFault, PayloadError
from tests.serving import serving


def press(action_id: int, **fields: Any) -> AtariAction:
    return AtariAction(action_id=action_id, **fields)


def play(
    environment: AtariEnvironment, steps: int = 40, **options: Any
) -> list[tuple[bytes, Any, bool, int]]:
    """What a game comes to in which every action is taken in turn."""
    seen = environment.reset(**options)
    return [gist(seen), *go_on(environment, len(seen.legal_actions), steps)]


def go_on(environment: AtariEnvironment, actions: int, steps: int = 40) -> list[Any]:
    seen = []
    for number in range(steps):
        seen.append(gist(environment.step(press(number // 3 % actions))))
        if seen[-1][2]:
            break
    return seen


def gist(one: AtariObservation) -> tuple[bytes, Any, bool, int]:
    return one.screen.tobytes(), one.reward, one.done, one.episode_frame_number


# ---- over a server


async def test_a_game_is_played_to_its_end_over_a_server() -> None:
    async with serving(app) as url, AtariEnv(url) as env:
        result = await env.reset(seed=1, game_name="breakout", frameskip=30)
        assert result.observation.screen.shape == (210, 160, 3)
        assert result.observation.screen.dtype == np.uint8
        assert result.observation.action_names == ["NOOP", "FIRE", "RIGHT", "LEFT"]
        assert (result.observation.lives, result.reward) == (5, None)
        lost, total = 0, 0.0
        while not (result.done or result.truncated):
            result = await env.step(press(1))
            lost += result.observation.life_lost
            total += float(result.reward or 0)
        assert (result.done, result.observation.lives, lost) == (True, 0, 5)
        state = await env.state()
        assert (state.game_name, state.frameskip, state.available_modes[0]) == ("breakout", 30, 0)


async def test_wrong_actions_are_errors_and_the_game_goes_on() -> None:
    # The app itself has been served, and its workers belong to that event loop.
    fresh = create_app(AtariEnvironment, AtariAction, execution="thread")
    async with serving(fresh) as url, AtariEnv(url) as env:
        await env.reset(game_name="pong")
        with pytest.raises(EnvironmentFault) as caught:
            await env.step(press(6))
        assert caught.value.remote_type == "InvalidAction"
        for wrong in (-1, 18, float("nan")):
            with pytest.raises(PayloadError):
                await env.step(press(wrong))  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError):
            await env.step(press(0, game_name="breakout"))
        assert (await env.step(press(0, game_name="pong"))).observation.episode_frame_number == 4


# ---- games


def test_every_game_for_one_player_is_there() -> None:
    assert len(game_files()) == 104
    # The library ends the process when it is asked for one of these.
    assert not {"combat", "joust", "maze_craze", "warlords"} & set(game_files())


@pytest.mark.parametrize(
    "game", ["qbert", "tetris", "skiing", "pacman", "video_checkers", "amidar"]
)
def test_a_seed_plays_the_same_game_after_another_and_elsewhere(game: str) -> None:
    environment = AtariEnvironment(game_name=game, noop_max=10)
    first = play(environment, seed=3)
    assert play(environment, seed=5) != first
    assert play(environment, seed=3) == first
    assert play(AtariEnvironment(game_name=game, noop_max=10), seed=3) == first


def test_a_game_is_the_one_that_gymnasium_plays() -> None:
    gymnasium.register_envs(ale_py)
    theirs: Any = gymnasium.make("ALE/SpaceInvaders-v5", frameskip=1, repeat_action_probability=0.0)
    theirs.reset(seed=1)
    for _ in range(4):
        theirs.step(0)
    ours = AtariEnvironment(game_name="space_invaders", repeat_action_probability=0.0)
    screen, reward = theirs.step(0)[0], 0.0
    seen = ours.reset()
    for number in range(150):
        assert np.array_equal(seen.screen, screen)
        assert float(seen.reward or 0) == reward
        action, reward = number // 5 % 6, 0.0
        for _ in range(4):
            screen, scored, *_ = theirs.step(action)
            reward += float(scored)
        seen = ours.step(press(action))
    theirs.close()


@pytest.mark.parametrize(
    "options",
    [
        {"game_name": "doom"},
        {"game_name": "combat"},
        {"game_name": "../pong"},
        {"game_name": ""},
        {"game_name": "pong", "mode": 7},
        {"game_name": "pong", "difficulty": 9},
        {"obs_type": "png"},
        {"frameskip": 0},
        {"frameskip": "4"},
        {"repeat_action_probability": 1.5},
        {"repeat_action_probability": float("nan")},
        {"frame_stack": 0},
        {"screen_size": [84]},
        {"screen_size": [84, 84], "obs_type": "rgb"},
        {"max_pool": True, "obs_type": "ram"},
        {"colour": True},
    ],
)
def test_what_cannot_be_played_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        AtariEnvironment().reset(**options)


def test_after_a_refusal_the_next_reset_plays() -> None:
    environment = AtariEnvironment()
    with pytest.raises(ConfigurationError):
        environment.reset(mode=99)
    assert environment.reset(mode=1).screen.any()
    assert environment.state.mode == 1
    environment.reset(difficulty=3)
    assert (environment.state.mode, environment.state.difficulty) == (0, 3)


def test_environment_variables_say_what_is_played() -> None:
    variables = {"ATARI_GAME": "qbert", "ATARI_FRAMESKIP": "2", "ATARI_MAX_POOL": "true"}
    assert options_of(variables) == {"game_name": "qbert", "frameskip": 2, "max_pool": True}
    with pytest.raises(ConfigurationError):
        options_of({"ATARI_FRAMESKIP": "often"})


# ---- actions and time


def test_the_full_joystick_has_all_positions() -> None:
    environment = AtariEnvironment()
    assert len(environment.reset().legal_actions) == 6
    seen = environment.reset(full_action_space=True)
    assert len(seen.legal_actions) == 18
    assert seen.action_names[-1] == "DOWNLEFTFIRE"
    for wrong in (18, -1):
        with pytest.raises(InvalidAction):
            environment.step(press(wrong))


def test_sticky_actions_depend_on_the_seed_and_others_do_not() -> None:
    environment = AtariEnvironment(game_name="breakout")
    sticky = {tuple(play(environment, 60, seed=seed)) for seed in range(5)}
    assert len(sticky) == 5
    steady = {
        tuple(play(environment, 60, seed=seed, repeat_action_probability=0.0)) for seed in range(5)
    }
    assert len(steady) == 1
    # Nobody moves a joystick that always sticks.
    stuck = play(environment, 60, seed=1, repeat_action_probability=1.0)
    environment.reset(seed=1, repeat_action_probability=0.0)
    assert stuck[-1] == gist([environment.step(press(0)) for _ in range(60)][-1])


def test_a_step_takes_as_many_frames_as_it_should() -> None:
    environment = AtariEnvironment(frameskip=7)
    environment.reset()
    assert environment.step(press(0)).episode_frame_number == 7
    environment.reset(frameskip=1, max_frames=3)
    truncated = [environment.step(press(0)).truncated for _ in range(3)]
    assert truncated == [False, False, True]


def test_a_lost_life_ends_the_episode_when_asked_to() -> None:
    environment = AtariEnvironment(game_name="breakout", terminal_on_life_loss=True, frameskip=30)
    seen = environment.reset(seed=1)
    while not seen.done:
        seen = environment.step(press(1))
    assert (seen.lives, seen.life_lost) == (4, True)
    with pytest.raises(InvalidAction, match="over"):
        environment.step(press(1))
    assert environment.reset(seed=1).lives == 5


def test_a_finished_game_takes_no_action() -> None:
    environment = AtariEnvironment(game_name="breakout", frameskip=60)
    seen = environment.reset(seed=1)
    while not seen.done:
        seen = environment.step(press(1))
    with pytest.raises(InvalidAction, match="over"):
        environment.step(press(1))


# ---- pictures


def test_each_observation_has_its_shape() -> None:
    environment = AtariEnvironment()
    assert environment.reset().screen.shape == (210, 160, 3)
    assert environment.reset(obs_type="grayscale").screen.shape == (210, 160)
    assert environment.reset(obs_type="ram").screen.shape == (128,)
    small: dict[str, Any] = {"obs_type": "grayscale", "screen_size": [84, 96]}
    assert environment.reset(**small).screen.shape == (84, 96)
    seen = environment.reset(**small, frame_stack=4)
    assert (seen.screen.shape, seen.screen_shape) == ((4, 84, 96), [4, 84, 96])
    assert environment.reset(game_name="pacman").screen.shape == (250, 160, 3)
    assert environment.render().shape == (250, 160, 3)


def test_a_stack_has_the_newest_picture_last() -> None:
    environment = AtariEnvironment(obs_type="ram", repeat_action_probability=0.0)
    alone = [environment.reset().screen]
    alone += [environment.step(press(2)).screen for _ in range(4)]
    stacked = environment.reset(frame_stack=3).screen
    assert np.array_equal(stacked, [alone[0]] * 3)
    for number in range(1, 5):
        stacked = environment.step(press(2)).screen
        newest = [alone[max(0, number - back)] for back in (2, 1, 0)]
        assert np.array_equal(stacked, newest)


def test_pooling_shows_the_brighter_of_the_last_two_frames() -> None:
    options: dict[str, Any] = {"game_name": "asteroids", "repeat_action_probability": 0.0}
    single = AtariEnvironment(frameskip=1, **options)
    pooled = AtariEnvironment(frameskip=4, max_pool=True, **options)
    single.reset()
    pooled.reset()
    differ = False
    for _ in range(10):
        *_, earlier, last = (single.step(press(0)).screen for _ in range(4))
        assert np.array_equal(pooled.step(press(0)).screen, np.maximum(earlier, last))
        differ = differ or not np.array_equal(earlier, last)
    assert differ


def test_scaling_takes_the_mean_of_what_a_pixel_covers() -> None:
    picture = np.arange(6 * 4, dtype=np.uint8).reshape(6, 4) * 10
    means = picture.reshape(3, 2, 2, 2).mean(axis=(1, 3))
    assert np.array_equal(scaler(6, 4, 3, 2)(picture), np.rint(means))
    assert np.array_equal(scaler(6, 4, 6, 4)(picture), picture)
    assert scaler(6, 4, 1, 1)(picture) == round(picture.mean())
    flat = np.full((210, 160), 255, np.uint8)
    assert (scaler(210, 160, 84, 84)(flat) == 255).all()
    assert (scaler(210, 160, 500, 300)(flat) == 255).all()


# ---- snapshots


@pytest.mark.parametrize("game", ["qbert", "tetris", "breakout"])
def test_a_snapshot_goes_on_as_the_game_did(game: str) -> None:
    environment = AtariEnvironment(game_name=game, frame_stack=2)
    play(environment, 20, seed=5)
    snapshot = environment.snapshot()
    actions = len(environment.step(press(0)).legal_actions)
    later = go_on(environment, actions)
    other = AtariEnvironment()
    restored = other.restore(snapshot)
    assert restored.screen.shape[0] == 2
    other.step(press(0))
    assert go_on(other, actions) == later
