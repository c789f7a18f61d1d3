"""A policy for pong and breakout that sees nothing but pixels: the paddle follows the ball.

It needs the screen as a whole, in colours or in gray, and remembers nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .models import AtariAction, AtariObservation

if TYPE_CHECKING:
    from numpy.typing import NDArray

TASKS = {name: {"game_name": name, "obs_type": "grayscale"} for name in ("pong", "breakout")}
"Options of reset, by what they make of an episode."

MAX_TURNS = 1_000
"Of a game that may go on for half an hour."


def sample_policy(observation: AtariObservation) -> AtariAction:
    """Move the paddle towards the ball; serve where there is none."""
    screen = observation.screen if observation.screen.ndim == 2 else observation.screen[..., 0]
    # The two games are told apart by what can be done in them.
    play = _pong if len(observation.legal_actions) == 6 else _breakout
    return AtariAction(action_id=observation.action_names.index(play(screen)))


def _pong(screen: NDArray[np.uint8]) -> str:
    """Our paddle is the right one. Up is called RIGHT there."""
    is_drawn = screen[34:194] != screen[34:35, 80:81]
    ball = _middle(is_drawn[:, 20:140].any(axis=1))
    paddle = _middle(is_drawn[:, 140:144].any(axis=1))
    return _towards(ball, paddle, "RIGHT", "LEFT", slack=4)


def _breakout(screen: NDArray[np.uint8]) -> str:
    """The ball is looked for between the bricks and the paddle, which is at the bottom."""
    is_drawn = screen[:, 8:152] != 0
    ball = _middle(is_drawn[93:188].any(axis=0))
    paddle = _middle(is_drawn[190:193].any(axis=0))
    return _towards(ball, paddle, "LEFT", "RIGHT", slack=3)


def _middle(is_drawn: NDArray[np.bool_]) -> float | None:
    """Return where something is drawn; None for nowhere."""
    places = np.flatnonzero(is_drawn)
    return float(places.mean()) if len(places) else None


def _towards(ball: float | None, paddle: float | None, less: str, more: str, slack: float) -> str:
    if ball is None:
        return "FIRE"
    if paddle is None or abs(ball - paddle) <= slack:
        return "NOOP"
    return less if ball < paddle else more
