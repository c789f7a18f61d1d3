"""What the openspiel environment takes and gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from msgspec import Meta

from openenv.models import Action, Observation, State

Opponent = Literal["random", "first", "last", "mcts"]
"Who plays the other players."


@dataclass(kw_only=True)
class OpenSpielAction(Action):
    """A move: one of the observation's `legal_actions`.

    The game is chosen by reset. `game_name` and `game_params` need not be given; if they are, they
    must be those of the game that is played.
    """

    action_id: Annotated[int, Meta(ge=0, extra_json_schema={"among": "legal_actions"})]
    game_name: Annotated[str | None, Meta(examples=[None])] = None
    game_params: Annotated[dict[str, Any] | None, Meta(examples=[None])] = None


@dataclass(kw_only=True)
class OpenSpielObservation(Observation):
    """What the agent's player knows, and no more."""

    info_state: list[float] = field(default_factory=list)
    "The information state tensor, flat; that of observations where the game has no other."
    info_state_shape: list[int] = field(default_factory=list)
    legal_actions: list[int] = field(default_factory=list)
    legal_action_names: list[str] = field(default_factory=list)
    game_phase: Literal["initial", "playing", "terminal"] = "playing"
    current_player_id: int = 0
    "The agent's player while it is to move; -4 when the game is over."
    opponent_last_action: int | None = None
    "Only in games that hide nothing: elsewhere it may be what they hide."
    text: str = ""
    "What the player sees, in words or as a board."
    information_state: str = ""
    "What the player knows, with its history; only in games that hide something."
    returns: list[float] = field(default_factory=list)
    "What each player has in the end; empty until then."


@dataclass(kw_only=True)
class OpenSpielState(State):
    """Which game is played, and by whom."""

    game_name: str = ""
    game_params: dict[str, Any] = field(default_factory=dict)
    agent_player: int = 0
    opponent_policy: Opponent = "random"
    num_players: int = 0
    num_distinct_actions: int = 0
    "Every action_id is below this."
    max_game_length: int = 0
    "How many moves a game has at most, those of all players together."
