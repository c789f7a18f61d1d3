"""OpenSpielEnvironment: reset chooses a game, a player and an opponent; step is a move.

How a game is moved on is match.py's affair, which games there are games.py's.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from typing import Any

from openenv.environment import Environment
from openenv.errors import ConfigurationError
from openenv.models import EnvironmentInfo

from ..models import OpenSpielAction, OpenSpielObservation, OpenSpielState
from .games import load_game
from .match import Match
from .opponents import opponent

MAX_ACTIONS = 1_000_000
"Parameters that make a game larger are refused, before it takes all memory."
_TERMINAL_PLAYER = -4


class OpenSpielEnvironment(Environment[OpenSpielAction, OpenSpielObservation, OpenSpielState]):
    """A game of OpenSpiel, in which the agent is one player and the server all others.

    The arguments say what is played where reset does not.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    _match: Match | None = None

    def __init__(
        self,
        game_name: str = "catch",
        game_params: dict[str, Any] | None = None,
        agent_player: int | str = 0,
        opponent_policy: str = "random",
        opponent_simulations: int = 100,
    ) -> None:
        super().__init__()
        self._setup: dict[str, Any] = {
            "game_name": game_name,
            "game_params": game_params or {},
            "agent_player": agent_player,
            "opponent_policy": opponent_policy,
            "opponent_simulations": opponent_simulations,
        }
        self._chosen: dict[str, Any] = {}
        self._seed = 0
        self._facts = OpenSpielState()
        self._seen_return = 0.0

    def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        game_name: str | None = None,
        game_params: dict[str, Any] | None = None,
        agent_player: int | None = None,
        opponent_policy: str | None = None,
        opponent_simulations: int | None = None,
    ) -> OpenSpielObservation:
        """Begin a game. What is not given is as the server was told to play.

        Raises ConfigurationError: there is no such game, player or opponent.
        """
        options = {
            "game_name": game_name,
            "game_params": game_params if game_params is not None or game_name is None else {},
            "agent_player": agent_player,
            "opponent_policy": opponent_policy,
            "opponent_simulations": opponent_simulations,
        }
        given = {name: value for name, value in options.items() if value is not None}
        self._begin({**self._setup, **given}, secrets.randbits(32) if seed is None else seed)
        return self._observe()

    def step(self, action: OpenSpielAction) -> OpenSpielObservation:
        """Move. Raises IllegalMove; nothing has happened then."""
        match = self._match
        if match is None:
            raise ConfigurationError("no game has begun: call reset")
        self._check_game(action)
        match.play(action.action_id)
        return self._observe()

    @property
    def state(self) -> OpenSpielState:
        """Which game is played, and by whom; nothing of where it stands."""
        base = super().state
        return replace(self._facts, episode_id=base.episode_id, step_count=base.step_count)

    def snapshot(self) -> str:
        """Return the game as it stands, for `restore`: with what is hidden from the agent.

        So it is for whoever holds the environment, not for clients.
        """
        if self._match is None:
            raise ConfigurationError("no game has begun: call reset")
        saved = {
            "chosen": self._chosen,
            "seed": self._seed,
            "seen_return": self._seen_return,
            "match": self._match.snapshot(),
        }
        return json.dumps(saved)

    def restore(self, snapshot: str) -> OpenSpielObservation:
        """Go on from a snapshot, whoever has made it; return what the agent sees."""
        saved = json.loads(snapshot)
        self._begin(saved["chosen"], saved["seed"])
        assert self._match is not None
        self._match.restore(saved["match"])
        self._seen_return = saved["seen_return"]
        return replace(self._observe(), reward=None)

    def get_metadata(self) -> EnvironmentInfo:
        """Describe it."""
        return EnvironmentInfo(
            name="openspiel_env",
            description=f"A game of OpenSpiel ({self._setup['game_name']} if reset chooses none)",
        )

    def _begin(self, chosen: dict[str, Any], seed: int) -> None:
        self._match = None
        game = load_game(chosen["game_name"], chosen["game_params"], seed)
        if not 0 < game.num_distinct_actions() <= MAX_ACTIONS:
            raise ConfigurationError(
                f"{game} has {game.num_distinct_actions():,} actions: 1 to {MAX_ACTIONS:,} can be "
                "played"
            )
        agent = _player(chosen["agent_player"], game.num_players())
        choose = opponent(chosen["opponent_policy"], chosen["opponent_simulations"], game)
        self._chosen, self._seed = chosen, seed
        self._seen_return = 0.0
        self._match = Match(game, agent, choose, seed)
        self._facts = OpenSpielState(
            game_name=game.get_type().short_name,
            game_params=dict(game.get_parameters()),
            agent_player=agent,
            opponent_policy=chosen["opponent_policy"],
            num_players=game.num_players(),
            num_distinct_actions=game.num_distinct_actions(),
            max_game_length=game.max_game_length(),
        )

    def _observe(self) -> OpenSpielObservation:
        match = self._match
        assert match is not None
        legal = match.legal_actions()
        info_state, shape = match.tensor()
        is_over, returns = match.is_over, match.returns
        earned, self._seen_return = returns[match.agent] - self._seen_return, returns[match.agent]
        begun = "playing" if match.moves else "initial"
        return OpenSpielObservation(
            info_state=info_state,
            info_state_shape=shape,
            legal_actions=legal,
            legal_action_names=[match.name(action) for action in legal],
            game_phase="terminal" if is_over else begun,  # type: ignore[arg-type]
            current_player_id=_TERMINAL_PLAYER if is_over else match.agent,
            opponent_last_action=match.opponent_last_action,
            text=match.text(),
            information_state=match.information_state(),
            returns=returns if is_over else [],
            reward=earned if match.moves or is_over else None,
            done=is_over,
        )

    def _check_game(self, action: OpenSpielAction) -> None:
        """Refuse a move that was meant for another game."""
        for name in ("game_name", "game_params"):
            meant, played = getattr(action, name), self._chosen[name]
            if meant and meant not in (played, getattr(self._facts, name)):
                raise ConfigurationError(
                    f"the action is for {name} {meant!r:.80}, but {played!r:.80} is played: the "
                    f"game is chosen by reset({name}=...)"
                )


def _player(given: Any, num_players: int) -> int:
    try:
        player = int(given)
    except (TypeError, ValueError):
        player = -1
    if not 0 <= player < num_players:
        raise ConfigurationError(
            f"agent_player is {given!r:.40}: the game has players 0 to {num_players - 1}"
        )
    return player
