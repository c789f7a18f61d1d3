"""Match: one play of a game, moved on until the agent is to move.

Owns chance, the opponents' moves, and what may be known of the state. Knows nothing of sessions;
which game it is and who plays it, environment.py decides.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pyspiel

from .games import hides_nothing

if TYPE_CHECKING:
    from .opponents import Choose


class IllegalMove(ValueError):
    """The action is not among the legal ones; nothing has happened."""


class Match:
    """A state of a game, the agent's player in it, and the random numbers that decide the rest."""

    def __init__(self, game: Any, agent: int, choose: Choose, seed: int) -> None:
        self.game = game
        self.agent = agent
        self.moves = 0
        "How many the agent has made."
        self.opponent_last_action: int | None = None
        self._choose = choose
        self._rng = random.Random(seed)
        self._state = game.new_initial_state()
        self._is_open = hides_nothing(game)
        self._advance()

    @property
    def is_over(self) -> bool:
        """Whether the game has ended."""
        return bool(self._state.is_terminal())

    @property
    def returns(self) -> list[float]:
        """What each player has so far."""
        return list(self._state.returns())

    def legal_actions(self) -> list[int]:
        """Return what the agent may do now; nothing when the game is over."""
        return [] if self.is_over else list(self._state.legal_actions(self.agent))

    def name(self, action: int) -> str:
        """Return how the game writes an action of the agent."""
        return str(self._state.action_to_string(self.agent, action))

    def play(self, action: int) -> None:
        """Make the agent's move, and all others until it is to move again. Raises IllegalMove."""
        legal = self.legal_actions()
        if self.is_over:
            raise IllegalMove("the game is over: begin another with reset")
        if action not in legal:
            shown = ", ".join(map(str, legal[:20])) + (", ..." if len(legal) > 20 else "")
            raise IllegalMove(f"{action} is not legal now: play one of {shown}")
        if self._state.is_simultaneous_node():
            self._play_together(action)
        else:
            self._state.apply_action(action)
        self.moves += 1
        self._advance()

    def _advance(self) -> None:
        """Play chance and opponents until the agent has a choice, or the game ends."""
        state = self._state
        while not state.is_terminal():
            if state.is_chance_node():
                state.apply_action(self._draw())
            elif state.is_simultaneous_node():
                if state.legal_actions(self.agent):
                    return
                self._play_together(pyspiel.INVALID_ACTION)
            else:
                player = state.current_player()
                if player == self.agent:
                    return
                action = self._choose(state, player, self._rng)
                self._note(action)
                state.apply_action(action)

    def _draw(self) -> int:
        actions, weights = zip(*self._state.chance_outcomes(), strict=True)
        return int(self._rng.choices(actions, weights)[0])

    def _play_together(self, action: int) -> None:
        joint = [
            action if player == self.agent else self._choice_of(player)
            for player in range(self.game.num_players())
        ]
        others = [one for player, one in enumerate(joint) if player != self.agent]
        if others:
            self._note(others[-1])
        self._state.apply_actions(joint)

    def _choice_of(self, player: int) -> int:
        if not self._state.legal_actions(player):
            return int(pyspiel.INVALID_ACTION)
        return self._choose(self._state, player, self._rng)

    def _note(self, action: int) -> None:
        if self._is_open:
            self.opponent_last_action = action

    # ---- what the agent's player knows

    def tensor(self) -> tuple[list[float], list[int]]:
        """Return the player's tensor, flat, and its shape; both empty where the game has none."""
        kind = self.game.get_type()
        if kind.provides_information_state_tensor:
            shape = self.game.information_state_tensor_shape()
            return self._state.information_state_tensor(self.agent), shape
        if kind.provides_observation_tensor:
            shape = self.game.observation_tensor_shape()
            return self._state.observation_tensor(self.agent), shape
        return [], []

    def text(self) -> str:
        """Return what the player sees now, never `str(state)`: that has what others hold."""
        if self.game.get_type().provides_observation_string:
            return str(self._state.observation_string(self.agent))
        return self.information_state()

    def information_state(self) -> str:
        """Return all that the player has seen, if anything is hidden in this game."""
        if self._is_open or not self.game.get_type().provides_information_state_string:
            return ""
        return str(self._state.information_state_string(self.agent))

    # ---- snapshots

    def snapshot(self) -> dict[str, Any]:
        """Return all of it as plain data, what is hidden from the agent too."""
        version, words, extra = self._rng.getstate()
        return {
            "state": self._state.serialize(),
            "random": [version, list(words), extra],
            "moves": self.moves,
            "opponent_last_action": self.opponent_last_action,
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot of a match of the same game."""
        self._state = self.game.deserialize_state(snapshot["state"])
        version, words, extra = snapshot["random"]
        self._rng.setstate((version, tuple(words), extra))
        self.moves = snapshot["moves"]
        self.opponent_last_action = snapshot["opponent_last_action"]
