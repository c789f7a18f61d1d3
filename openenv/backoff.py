"""Backoff: how long to wait before the next attempt. Pure: the caller waits.

rubrics/judge.py does not use it: tenacity, which repeats calls of language models, has its own.
"""

from __future__ import annotations

import random

_MOST_DOUBLINGS = 64
"More would overflow a float, and reach any longest pause anyway."


def pause_s(attempt: int, first_s: float, longest_s: float, factor: float = 2.0) -> float:
    """Return the pause after a failed attempt, counted from 0: each is `factor` times the last."""
    return min(longest_s, first_s * factor ** min(attempt, _MOST_DOUBLINGS))


def random_pause_s(attempt: int, first_s: float, longest_s: float) -> float:
    """Return a random part of that pause, so that many clients do not come back in step."""
    return random.uniform(0, pause_s(attempt, first_s, longest_s))
