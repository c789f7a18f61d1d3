"""Policies for three small games, by rules: catch, tic_tac_toe and kuhn_poker.

Each is told by the shape of what the player knows; in any other game the first legal move is made.
"""

from __future__ import annotations

from .models import OpenSpielAction, OpenSpielObservation

TASKS = {name: {"game_name": name} for name in ("catch", "tic_tac_toe", "kuhn_poker")}
"Options of reset, by what they make of an episode."

EPISODES = 300
"How many are needed to tell it from chance, which deals the cards."

LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))
PREFERRED = (4, 0, 2, 6, 8, 1, 3, 5, 7)
"Centre, corners, edges."

JACK = "0"
"The lowest of three cards."


def sample_policy(observation: OpenSpielObservation) -> OpenSpielAction:
    """Return a move by the rules of its game."""
    match observation.info_state_shape:
        case [10, 5]:
            move = _catch(observation)
        case [3, 3, 3]:
            move = _tic_tac_toe(observation)
        case [11]:
            move = _kuhn_poker(observation)
        case _:
            move = observation.legal_actions[0]
    return OpenSpielAction(action_id=move)


def _catch(observation: OpenSpielObservation) -> int:
    """Go where the ball falls. Left, stay and right are 0, 1 and 2."""
    *falling, bottom = (observation.info_state[row * 5 : row * 5 + 5] for row in range(10))
    ball = next((row.index(1.0) for row in falling if 1.0 in row), bottom.index(1.0))
    paddle = bottom.index(1.0)
    return 1 + (ball > paddle) - (ball < paddle)


def _tic_tac_toe(observation: OpenSpielObservation) -> int:
    """Win, or else keep the other one from winning, or else take the best place there is."""
    board = observation.text.replace("\n", "")
    mine = "x" if board.count("x") == board.count("o") else "o"
    for player in (mine, *{"x", "o"} - {mine}):
        for line in LINES:
            cells = [board[cell] for cell in line]
            if cells.count(player) == 2 and "." in cells:
                return line[cells.index(".")]
    return next(cell for cell in PREFERRED if cell in observation.legal_actions)


def _kuhn_poker(observation: OpenSpielObservation) -> int:
    """Bet, as others may give way; only the worst card itself gives way to a bet."""
    card, said = observation.information_state[:1], observation.information_state[1:]
    return int(card != JACK or not said.endswith("b"))
