"""The openspiel environment: options, opponents, illegal moves, and episodes over a real server."""

from typing import Any

import pytest

from envs.openspiel_env import OpenSpielAction, OpenSpielEnv, OpenSpielObservation
from envs.openspiel_env.server import trial
from envs.openspiel_env.server.app import app
from envs.openspiel_env.server.environment import OpenSpielEnvironment
from envs.openspiel_env.server.match import IllegalMove
from openenv.errors import ConfigurationError, EnvironmentFault, PayloadError
from tests.serving import serving, serving_elsewhere


def move(action_id: int, **fields: Any) -> OpenSpielAction:
    return OpenSpielAction(action_id=action_id, **fields)


def play_first(environment: OpenSpielEnvironment, **options: Any) -> OpenSpielObservation:
    seen = environment.reset(**options)
    while not seen.done:
        seen = environment.step(move(seen.legal_actions[0]))
    return seen


async def test_a_game_is_played_to_its_end_over_a_server() -> None:
    async with serving(app) as url, OpenSpielEnv(url) as env:
        result = await env.reset(seed=3)
        assert result.observation.game_phase == "initial"
        assert result.observation.legal_action_names == ["LEFT", "STAY", "RIGHT"]
        assert result.reward is None
        total = 0.0
        while not result.done:
            ball, paddle = (row.index(1.0) for row in rows(result.observation))
            result = await env.step(move(1 + (ball > paddle) - (ball < paddle)))
            total += float(result.reward or 0)
        assert (total, result.observation.returns) == (1.0, [1.0])
        assert result.observation.current_player_id == -4
        state = await env.state()
        assert (state.game_name, state.num_distinct_actions, state.step_count) == ("catch", 3, 9)


def rows(observation: OpenSpielObservation) -> list[list[float]]:
    """The row with the ball, and that with the paddle."""
    _, width = observation.info_state_shape
    board = observation.info_state
    lines = [board[start : start + width] for start in range(0, len(board), width)]
    return [next(line for line in lines[:-1] if 1.0 in line), lines[-1]]


def test_existing_code_plays_without_a_loop() -> None:
    with serving_elsewhere(app) as url:
        env = OpenSpielEnv(base_url=url).sync()
        result = env.reset(game_name="tic_tac_toe", opponent_policy="first", agent_player=1)
        assert result.observation.opponent_last_action == 0
        result = env.step(move(4, game_name="tic_tac_toe"))
        assert "x" in result.observation.text
        assert len(result.observation.info_state) == 27
        env.close()


async def test_an_illegal_move_is_an_error_and_the_game_goes_on() -> None:
    async with serving(app) as url, OpenSpielEnv(url) as env:
        await env.reset(game_name="tic_tac_toe", opponent_policy="first")
        with pytest.raises(EnvironmentFault) as caught:
            await env.step(move(9))
        assert caught.value.remote_type == "IllegalMove"
        with pytest.raises(PayloadError):
            await env.step(move(-1))
        with pytest.raises(ConfigurationError):
            await env.step(move(4, game_name="chess"))
        await env.step(move(4))
        with pytest.raises(EnvironmentFault):
            await env.step(move(4))
        assert (await env.state()).step_count == 1


def test_a_move_after_the_end_is_illegal() -> None:
    environment = OpenSpielEnvironment("matrix_pd")
    play_first(environment)
    with pytest.raises(IllegalMove, match="over"):
        environment.step(move(0))


@pytest.mark.parametrize(
    "options",
    [
        {"game_name": "halma"},
        {"game_name": "kuhn_poker("},
        {"game_name": "kuhn_poker", "game_params": {"players": 99}},
        {"game_name": "kuhn_poker", "game_params": {"cards": 3}},
        {"game_name": "kuhn_poker", "game_params": {"players": "many"}},
        {"game_name": "kuhn_poker", "game_params": {"players": [2]}},
        {"game_name": "hex", "game_params": {"board_size": 1000000}},
        {"game_name": "hex", "game_params": {"board_size": 0}},
        {"game_name": "hex", "game_params": {"board_size": 2**70}},
        {"game_name": "catch", "game_params": {"rows": 0}},
        {"game_name": "hanabi", "game_params": {"colors": 0}},
        {"game_name": "universal_poker", "game_params": {"numRanks": 200000}},
        {"game_name": "gomoku", "game_params": {"size": 200000}},
        {"game_name": "efg_game", "game_params": {"filename": "/etc/passwd"}},
        {"game_name": "misere(game=efg_game(filename=/etc/passwd))"},
        {"game_name": "tic_tac_toe", "agent_player": 2},
        {"game_name": "tic_tac_toe", "agent_player": -1},
        {"game_name": "tic_tac_toe", "agent_player": "white"},
        {"game_name": "tic_tac_toe", "opponent_policy": "perfect"},
        {"game_name": "tic_tac_toe", "opponent_policy": "mcts", "opponent_simulations": 0},
        {"game_name": "tic_tac_toe", "opponent_policy": "mcts", "opponent_simulations": 10**9},
        {"game_name": "kuhn_poker", "opponent_policy": "mcts"},
        {"game_name": "goofspiel", "opponent_policy": "mcts"},
    ],
)
def test_what_cannot_be_played_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        OpenSpielEnvironment().reset(**options)
    assert "root:" not in str(caught.value)


def test_a_game_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "TIMEOUT_S", 0.5)
    with pytest.raises(ConfigurationError, match="take more"):
        OpenSpielEnvironment("blotto", {"coins": 200000}).reset()


def test_each_opponent_plays_its_way() -> None:
    environment = OpenSpielEnvironment("tic_tac_toe", agent_player=1)
    assert environment.reset(opponent_policy="first").opponent_last_action == 0
    assert environment.reset(opponent_policy="last").opponent_last_action == 8
    drawn = {environment.reset(seed=seed).opponent_last_action for seed in range(20)}
    assert len(drawn) > 3


def test_tree_search_wins_and_draws_as_the_seed_says() -> None:
    environment = OpenSpielEnvironment("tic_tac_toe", opponent_policy="mcts")
    rewards = [
        play_first(environment, seed=seed, opponent_simulations=200).reward for seed in range(5)
    ]
    assert rewards == [-1.0] * 5
    assert play_first(environment, seed=1) == play_first(environment, seed=1)


def test_simultaneous_moves_are_made_together() -> None:
    environment = OpenSpielEnvironment("matrix_pd", opponent_policy="last")
    seen = environment.reset()
    assert seen.legal_action_names == ["Cooperate", "Defect"]
    seen = environment.step(move(0))
    assert (seen.done, seen.returns, seen.opponent_last_action) == (True, [0.0, 10.0], 1)


def test_every_player_of_a_game_can_be_the_agent() -> None:
    environment = OpenSpielEnvironment("leduc_poker", {"players": 3})
    for player in range(3):
        seen = environment.reset(seed=2, agent_player=player)
        assert f"[Observer: {player}]" in seen.text
        assert play_first(environment, agent_player=player).returns[player] is not None


def test_parameters_are_those_of_the_game_that_reset_names() -> None:
    environment = OpenSpielEnvironment("hex", {"board_size": 3})
    assert len(environment.reset().legal_actions) == 9
    assert len(environment.reset(game_params={"board_size": 4}).legal_actions) == 16
    assert len(environment.reset(game_name="tic_tac_toe").legal_actions) == 9
    assert environment.state.game_name == "tic_tac_toe"
