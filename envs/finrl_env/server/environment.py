"""FinRLEnvironment: an episode is a stretch of a market, a step a trading day.

State, actions and rewards are those of FinRL's StockTradingEnv (see the README for what differs).
"""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from openenv.environment import Environment
from openenv.errors import ConfigurationError

from ..models import FinRLAction, FinRLObservation, FinRLState
from .account import Account
from .market import Market

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_DAYS_A_YEAR = 252
_SETTINGS: dict[str, tuple[Callable[[float], bool], str]] = {
    "initial_amount": (lambda cash: 0 < cash <= 1e15, "a number above 0, up to 1e15"),
    "hmax": (lambda shares: 1 <= shares <= 1e9, "a number of at least 1, up to 1e9"),
    "reward_scaling": (math.isfinite, "a finite number"),
}
"What each must be, and how that is said."


class FinRLEnvironment(Environment[FinRLAction, FinRLObservation, FinRLState]):
    """Trades at closing prices."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    # A step takes some 30 us and never blocks.
    execution = "inline"

    def __init__(
        self,
        data: str | None = None,
        *,
        initial_amount: float = 1_000_000.0,
        hmax: int = 100,
        buy_cost_pct: float | list[float] = 0.001,
        sell_cost_pct: float | list[float] = 0.001,
        reward_scaling: float = 1e-4,
        turbulence_threshold: float | None = None,
        indicators: list[str] | None = None,
    ) -> None:
        """Take a market's file, and what `reset` may override. Raises ConfigurationError."""
        self._market = Market.load(data)
        names = list(self._market.indicators) if indicators is None else indicators
        if unknown := [name for name in names if name not in self._market.indicators]:
            raise ConfigurationError(
                f"the market has no indicator {', '.join(unknown)}; it has: "
                f"{', '.join(self._market.indicators)}"
            )
        self._indicators = names
        self._prices = self._market.price_lists()
        self._rows = self._market.rows(tuple(names))
        stocks = len(self._market.stocks)
        self._held = slice(1 + stocks, 1 + 2 * stocks)
        self._settings: dict[str, Any] = {
            "initial_amount": initial_amount,
            "hmax": hmax,
            "buy_cost_pct": buy_cost_pct,
            "sell_cost_pct": sell_cost_pct,
            "reward_scaling": reward_scaling,
            "turbulence_threshold": turbulence_threshold,
        }
        self._begin(0, self._market.days, {})

    def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        days: int | None = None,
        start: int | None = None,
        **settings: Any,
    ) -> FinRLObservation:
        """Begin with cash only.

        An episode is the whole market, or `days` of it, from the day `start` or from one that the
        seed draws. `settings` are those of the constructor, for this episode. Raises ValueError.
        """
        for name, value in (("days", days), ("start", start)):
            if value is not None and type(value) is not int:
                raise ValueError(f"{name} must be a whole number, not {value!r:.80}")
        total = self._market.days
        length = total - (start or 0) if days is None else days
        if start is None:
            latest = total - length
            random = np.random.default_rng(seed)
            start = int(random.integers(latest + 1)) if 0 < latest < total else 0
        if length < 2 or start < 0 or start + length > total:
            raise ValueError(
                f"an episode of {length} days from day {start}: the market has {total}, and at "
                "least 2 are needed"
            )
        if unknown := [name for name in settings if name not in self._settings]:
            raise ValueError(f"no setting {', '.join(unknown)}: {', '.join(self._settings)}")
        self._begin(start, start + length, settings)
        return self._observation(None)

    def step(self, action: FinRLAction) -> FinRLObservation:
        """Trade at today's prices and go to the next day. Raises ValueError, and nothing happens.

        The reward is what the portfolio gained, scaled.
        """
        orders = self._orders(action.actions)
        if self._day >= self._last_day:
            raise ValueError("the episode is over: reset")
        account, prices = self._account, self._prices[self._day]
        before = account.value(prices)
        if self._is_turbulent():
            account.sell_all(prices)
        else:
            account.trade(orders, prices)
        self._day += 1
        after = account.value(self._prices[self._day])
        self._values.append(after)
        return self._observation((after - before) * self._chosen["reward_scaling"])

    @property
    def state(self) -> FinRLState:
        """The account since reset."""
        account, counted = self._account, super().state
        return FinRLState(
            episode_id=counted.episode_id,
            step_count=counted.step_count,
            stocks=self._market.stocks,
            indicators=self._indicators,
            day=self._day,
            cash=account.cash,
            shares=list(account.shares),
            portfolio_value=self._values[-1],
            total_cost=account.total_cost,
            trades=account.trades,
            sharpe=self._sharpe(),
            max_drawdown=self._max_drawdown(),
        )

    def render(self) -> NDArray[np.uint8]:
        """Return a plot of the portfolio's value since reset, uint8, H x W x 3."""
        # Late: an extra, and slow to import.
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
            from matplotlib.figure import Figure  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"a plot needs {error.name}: pip install 'openenv-finrl[plot]'"
            ) from error

        figure = Figure(figsize=(6, 3), dpi=100, layout="constrained")
        canvas: Any = FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        first = self._day + 1 - len(self._values)
        dates = np.array(self._market.dates[first : self._day + 1], dtype="datetime64[D]")
        axes.plot(dates, self._values)
        axes.set_ylabel("portfolio value")
        figure.autofmt_xdate()
        canvas.draw()
        return np.array(canvas.buffer_rgba())[..., :3]

    # ---- ours

    def _begin(self, start: int, end: int, settings: dict[str, Any]) -> None:
        chosen = self._chosen = {**self._settings, **settings}
        stocks = len(self._market.stocks)
        for name, (is_fit, meaning) in _SETTINGS.items():
            if not (_is_number(chosen[name]) and is_fit(chosen[name])):
                raise ValueError(f"{name} must be {meaning}, not {chosen[name]!r:.80}")
        threshold = chosen["turbulence_threshold"]
        if threshold is not None and not _is_number(threshold):
            raise ValueError(
                f"turbulence_threshold must be a number or none, not {threshold!r:.80}"
            )
        fees = [_fees(name, chosen[name], stocks) for name in ("buy_cost_pct", "sell_cost_pct")]
        cash = float(chosen["initial_amount"])
        self._account = Account(cash, *fees)
        self._day, self._first_day, self._last_day = start, start, end - 1
        self._values = [cash]

    def _orders(self, actions: list[float]) -> NDArray[np.int64]:
        given = np.asarray(actions, np.float64)
        stocks = len(self._market.stocks)
        if given.shape != (stocks,) or not np.all(np.abs(given) <= 1):
            raise ValueError(
                f"actions must be {stocks} numbers from -1 to 1, one for each stock, not "
                f"{str(actions)[:200]}"
            )
        # Towards zero: there are no parts of shares.
        orders: NDArray[np.int64] = (given * self._chosen["hmax"]).astype(np.int64)
        return orders

    def _is_turbulent(self) -> bool:
        threshold, turbulence = self._chosen["turbulence_threshold"], self._market.turbulence
        if threshold is None or turbulence is None or self._day == self._first_day:
            # FinRL looks at turbulence from the second day on.
            return threshold is not None and threshold <= 0
        return bool(turbulence[self._day] >= threshold)

    def _observation(self, reward: float | None) -> FinRLObservation:
        day, account, market = self._day, self._account, self._market
        row = self._rows[day].copy()
        row[0] = account.cash
        row[self._held] = account.shares
        return FinRLObservation(
            state=row,
            portfolio_value=self._values[-1],
            date=market.dates[day],
            reward=reward,
            done=day >= self._last_day,
        )

    def _sharpe(self) -> float | None:
        values = np.array(self._values)
        returns = values[1:] / values[:-1] - 1
        if len(returns) < 2 or not (spread := returns.std(ddof=1)):
            return None
        return float(np.sqrt(_DAYS_A_YEAR) * returns.mean() / spread)

    def _max_drawdown(self) -> float:
        values = np.array(self._values)
        return float(np.max(1 - values / np.maximum.accumulate(values)))


def _is_number(value: Any) -> bool:
    return type(value) is not bool and isinstance(value, Real) and not math.isnan(value)


def _fees(name: str, given: Any, stocks: int) -> list[float]:
    """Return a fee for each stock."""
    fees = given if isinstance(given, list | tuple | np.ndarray) else [given] * stocks
    if len(fees) != stocks or not all(_is_number(fee) and 0 <= fee <= 1 for fee in fees):
        raise ValueError(
            f"{name} must be a fraction from 0 to 1, or {stocks} of them, not {given!r:.80}"
        )
    return [float(fee) for fee in fees]
