"""What the trading environment takes and gives."""

from __future__ import annotations

from dataclasses import dataclass, make_dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from openenv.models import Action, Observation, State


@dataclass(kw_only=True)
class FinRLAction(Action):
    """What to trade of each stock, from -1 (sell as many shares as may be traded) to 1 (buy)."""

    actions: list[float]


def action_class(stocks: int) -> type[FinRLAction]:
    """Return a class of actions for so many stocks: its schema says how many numbers are meant."""
    number = Annotated[float, Meta(ge=-1.0, le=1.0)]
    actions = Annotated[list[number], Meta(min_length=stocks, max_length=stocks)]
    return make_dataclass("FinRLAction", [("actions", actions)], bases=(FinRLAction,), kw_only=True)


@dataclass(kw_only=True)
class FinRLObservation(Observation):
    """A day of the market, and what is held."""

    state: NDArray[np.float64]
    "[cash, closing price of each stock, shares of each stock, each indicator of each stock]"
    portfolio_value: float
    "Cash and shares at today's prices."
    date: str


@dataclass(kw_only=True)
class FinRLState(State):
    """The account since reset."""

    stocks: list[str]
    indicators: list[str]
    day: int
    "Index into the market's days."
    cash: float
    shares: list[int]
    portfolio_value: float
    total_cost: float
    "Fees paid."
    trades: int
    sharpe: float | None
    "Annualized, of daily returns, without a riskless rate; None before there are two returns."
    max_drawdown: float
    "The largest fall from a former height, as a fraction of it."
