"""Makes the synthetic market: `python -m envs.finrl_env.server.make_market`.

A market whose volatility comes in waves, GARCH(1, 1) with rare jumps, and stocks that follow it
more or less and have waves of their own. Shipped as made, because numpy does not promise the same
random numbers in all versions.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np

DAYS, STOCKS, SEED = 1260, 10, 20_260_101
FIRST = date(2020, 1, 1)
OMEGA, ALPHA, BETA = 2e-6, 0.08, 0.90
"Of the daily variance: what it has at least, gains by yesterday's surprise, keeps of yesterday's."
JUMP_RATE, JUMP_SIZE = 0.004, 0.03


def _waves(random: np.random.Generator, count: int) -> np.ndarray:
    """Return returns of `count` series: days x count."""
    noise = random.standard_normal((DAYS, count))
    returns, variance = np.empty((DAYS, count)), np.full(count, OMEGA / (1 - ALPHA - BETA))
    for day in range(DAYS):
        returns[day] = np.sqrt(variance) * noise[day]
        variance = OMEGA + ALPHA * returns[day] ** 2 + BETA * variance
    jumps = random.random((DAYS, count)) < JUMP_RATE
    return returns + jumps * random.normal(0, JUMP_SIZE, (DAYS, count))


def make(path: Path) -> None:
    """Write the market."""
    random = np.random.default_rng(SEED)
    betas = random.uniform(0.5, 1.5, STOCKS)
    drift = random.uniform(0.0001, 0.0006, STOCKS)
    returns = drift + betas * _waves(random, 1) + _waves(random, STOCKS)
    close = random.uniform(20, 200, STOCKS) * np.exp(np.cumsum(returns, axis=0))
    spread = np.abs(random.normal(0, 0.006, (2, DAYS, STOCKS)))
    days: list[str] = []
    day = FIRST
    while len(days) < DAYS:
        if day.weekday() < 5:
            days.append(day.isoformat())
        day += timedelta(days=1)
    np.savez_compressed(
        path,
        stocks=np.array([f"SYN{number}" for number in range(STOCKS)]),
        dates=np.array(days),
        close=close.round(2).astype(np.float32),
        high=(close * (1 + spread[0])).round(2).astype(np.float32),
        low=(close * (1 - spread[1])).round(2).astype(np.float32),
    )


if __name__ == "__main__":
    make(Path(__file__).with_name("market.npz"))
