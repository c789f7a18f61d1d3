"""Account: cash and shares, and what a day's orders do to them. Knows no market and no episode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Account:
    """Trades at given prices; a fee is a fraction of what is traded.

    Plain numbers: there are few stocks, and numpy's own are slower one at a time.
    """

    def __init__(self, cash: float, buy_fees: Sequence[float], sell_fees: Sequence[float]) -> None:
        self.cash = cash
        self.shares = [0] * len(buy_fees)
        self.total_cost = 0.0
        self.trades = 0
        self._buy_fees, self._sell_fees = buy_fees, sell_fees

    def value(self, prices: Sequence[float]) -> float:
        """Return what cash and shares are worth."""
        return self.cash + sum(map(float.__mul__, prices, map(float, self.shares)))

    def trade(self, orders: NDArray[np.int64], prices: Sequence[float]) -> None:
        """Sell and buy: `orders` are shares of each stock, negative ones are sold.

        The largest sales come first, then the largest purchases, so that sales pay for them. Of a
        purchase as much is done as there is cash for.
        """
        # numpy's order of equal orders is FinRL's.
        ascending, counts = np.argsort(orders).tolist(), orders.tolist()
        for stock in ascending:
            if counts[stock] >= 0:
                break
            self._sell(stock, min(-counts[stock], self.shares[stock]), prices[stock])
        for stock in reversed(ascending):
            if counts[stock] <= 0:
                break
            self._buy(stock, counts[stock], prices[stock])

    def sell_all(self, prices: Sequence[float]) -> None:
        """Sell every share."""
        for stock, count in enumerate(self.shares):
            self._sell(stock, count, prices[stock])

    def _sell(self, stock: int, count: int, price: float) -> None:
        fee = self._sell_fees[stock]
        self.cash += price * count * (1 - fee)
        self.shares[stock] -= count
        self._book(count, price * count * fee)

    def _buy(self, stock: int, count: int, price: float) -> None:
        fee = self._buy_fees[stock]
        count = min(int(self.cash // (price * (1 + fee))), count)
        self.cash -= price * count * (1 + fee)
        self.shares[stock] += count
        self._book(count, price * count * fee)

    def _book(self, count: int, cost: float) -> None:
        self.total_cost += cost
        self.trades += count > 0
