"""A game tried with its parameters, in a process of its own: some end the process that plays them.

`why_not` is what the server asks; `main` is the program that it starts.
"""

from __future__ import annotations

import functools
import json
import random
import resource
import subprocess
import sys
from typing import Any

from openenv.errors import ConfigurationError

TIMEOUT_S = 10.0
MEMORY_BYTES = 4 << 30
MOVES = 100


@functools.lru_cache(maxsize=1024)
def why_not(game: str) -> str | None:
    """Return why a game should not be played here, None if it can; `game` is from `described`.

    Raises ConfigurationError if it takes too long to find out.
    """
    command = [sys.executable, "-I", __file__, game]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        # Raised, so that it is not remembered: the machine may have had other things to do.
        raise ConfigurationError(
            f"{game:.200}: {MOVES} moves take more than {TIMEOUT_S:g} s"
        ) from None
    if done.returncode < 0:
        return f"it ends the process that plays it (signal {-done.returncode})"
    return done.stdout.decode("utf-8", "replace").strip() or None


def described(name: str, params: dict[str, Any]) -> str:
    """Return a game and its parameters as text."""
    return json.dumps([name, params], sort_keys=True)


def play(name: str, params: dict[str, Any]) -> None:
    """Play some moves at random, and look at what players see."""
    import pyspiel  # noqa: PLC0415 - under the limits that have been set before

    rng = random.Random(0)
    game = pyspiel.load_game(name, params)
    state = game.new_initial_state()
    for _ in range(MOVES):
        if state.is_mean_field_node():
            return
        if state.is_chance_node():
            actions, weights = zip(*state.chance_outcomes(), strict=True)
            state.apply_action(rng.choices(actions, weights)[0])
            continue
        look(game, state)
        if state.is_terminal():
            return
        if state.is_simultaneous_node():
            players = range(game.num_players())
            state.apply_actions([rng.choice(state.legal_actions(one) or [0]) for one in players])
        else:
            state.apply_action(rng.choice(state.legal_actions()))


def look(game: Any, state: Any) -> None:
    """Ask for all that a player may be shown."""
    kind = game.get_type()
    for player in range(game.num_players()):
        if kind.provides_information_state_tensor:
            state.information_state_tensor(player)
        if kind.provides_observation_tensor:
            state.observation_tensor(player)
        if kind.provides_information_state_string:
            state.information_state_string(player)
        if kind.provides_observation_string:
            state.observation_string(player)
        if not state.is_terminal():
            for action in state.legal_actions(player):
                state.action_to_string(player, action)


def main() -> None:
    """Print what is wrong with the game of the first argument."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        play(*json.loads(sys.argv[1]))
    except MemoryError:
        sys.stdout.write(f"it takes more than {MEMORY_BYTES >> 30} GiB")
    except Exception as error:  # noqa: BLE001 - whatever it is, somebody is told
        sys.stdout.write(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
