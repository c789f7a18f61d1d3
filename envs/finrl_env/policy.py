"""A policy that buys and holds: what any strategy of trading must be better than."""

from __future__ import annotations

from .models import FinRLAction, FinRLObservation

TASKS = {"a year": {"days": 253}}
"Options of reset, by what they make of an episode."

EPISODES = 40
"How many are needed to tell it from chance: some stretches of a market fall, whoever trades."

COLUMNS = 10
"Numbers that an observation has of each stock: its price, what is held, and eight indicators."


def sample_policy(observation: FinRLObservation) -> FinRLAction:
    """Buy as many shares of each stock as may be bought, as long as there is cash."""
    stocks = (len(observation.state) - 1) // COLUMNS
    return FinRLAction(actions=[1.0] * stocks)
