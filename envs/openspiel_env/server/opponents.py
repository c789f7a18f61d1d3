"""Who plays against the agent: functions from a state and a player to an action.

Each draws from the episode's random numbers alone, so that the same seed plays the same game.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import pyspiel

from openenv.errors import ConfigurationError

from ..models import Opponent
from .games import hides_nothing

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    Choose = Callable[[Any, int, random.Random], int]

MAX_SIMULATIONS = 100_000
"More would hold a step up for minutes."
_EXPLORATION = 2.0
_MAX_TREE_MB = 256


def opponent(policy: str, simulations: int, game: Any) -> Choose:
    """Return the policy of this name. Raises ConfigurationError if it cannot play the game."""
    if policy == "mcts":
        return _tree_search(simulations, game)
    try:
        return _CHOICES[policy]
    except KeyError:
        raise ConfigurationError(
            f"there is no opponent {policy!r:.80}: {', '.join(get_args(Opponent))}"
        ) from None


_CHOICES: dict[str, Choose] = {
    "random": lambda state, player, rng: rng.choice(state.legal_actions(player)),
    "first": lambda state, player, _: state.legal_actions(player)[0],
    "last": lambda state, player, _: state.legal_actions(player)[-1],
}


def _tree_search(simulations: int, game: Any) -> Choose:
    """Return Monte Carlo tree search with so many simulations for each move."""
    if not 1 <= simulations <= MAX_SIMULATIONS:
        raise ConfigurationError(
            f"opponent_simulations is {simulations}: give 1 to {MAX_SIMULATIONS:,}"
        )
    kind = game.get_type()
    if (
        kind.dynamics != pyspiel.GameType.Dynamics.SEQUENTIAL
        or kind.chance_mode == pyspiel.GameType.ChanceMode.SAMPLED_STOCHASTIC
        or not hides_nothing(game)
    ):
        raise ConfigurationError(
            f"mcts cannot play {kind.short_name}: it needs a game of turns where nothing is hidden"
        )

    def choose(state: Any, _: int, rng: random.Random) -> int:
        # A new one for each move: what it has is then in the episode's random numbers alone.
        evaluator = pyspiel.RandomRolloutEvaluator(1, rng.getrandbits(31))
        bot = pyspiel.MCTSBot(
            game,
            evaluator,
            _EXPLORATION,
            simulations,
            _MAX_TREE_MB,
            True,
            rng.getrandbits(31),
            False,
        )
        return int(bot.step(state))

    return choose
