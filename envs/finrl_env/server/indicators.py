"""Technical indicators, under the names that FinRL uses; arrays of days x stocks, in and out.

Where there are too few days yet, the window is what there is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_YEAR = 252
"Trading days."


def _mean(values: Array, window: int) -> Array:
    """Return the mean of the last `window` days."""
    total = np.cumsum(values, axis=0)
    before = np.zeros_like(total)
    before[window:] = total[:-window] if window < len(total) else total[:0]
    count = np.minimum(np.arange(1, len(values) + 1), window)[:, None]
    return (total - before) / count


def _deviation(values: Array, window: int) -> Array:
    square = _mean(values**2, window) - _mean(values, window) ** 2
    return np.sqrt(np.maximum(square, 0.0))


def _smooth(values: Array, alpha: float) -> Array:
    """Return the exponential moving average, which begins at the first value."""
    smoothed = np.empty_like(values)
    smoothed[0] = values[0]
    for day in range(1, len(values)):
        smoothed[day] = smoothed[day - 1] + alpha * (values[day] - smoothed[day - 1])
    return smoothed


def _changes(values: Array) -> Array:
    return np.diff(values, axis=0, prepend=values[:1])


def _share(part: Array, whole: Array) -> Array:
    """Return part / whole, 0 where there is no whole."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole != 0)


def _macd(_high: Array, _low: Array, close: Array) -> Array:
    return _smooth(close, 2 / 13) - _smooth(close, 2 / 27)


def _upper_band(_high: Array, _low: Array, close: Array) -> Array:
    return _mean(close, 20) + 2 * _deviation(close, 20)


def _lower_band(_high: Array, _low: Array, close: Array) -> Array:
    return _mean(close, 20) - 2 * _deviation(close, 20)


def _relative_strength(_high: Array, _low: Array, close: Array) -> Array:
    change = _changes(close)
    gain, loss = (_smooth(np.maximum(sign * change, 0), 1 / 30) for sign in (1, -1))
    return 100 * _share(gain, gain + loss)


def _commodity_channel(high: Array, low: Array, close: Array) -> Array:
    typical = (high + low + close) / 3
    off = typical - _mean(typical, 30)
    return _share(off, 0.015 * _mean(np.abs(off), 30))


def _directional(high: Array, low: Array, close: Array) -> Array:
    up, down = _changes(high), -_changes(low)
    rise = _smooth(np.where((up > down) & (up > 0), up, 0.0), 1 / 30)
    fall = _smooth(np.where((down > up) & (down > 0), down, 0.0), 1 / 30)
    return 100 * _share(np.abs(rise - fall), rise + fall)


INDICATORS: dict[str, Callable[[Array, Array, Array], Array]] = {
    "macd": _macd,
    "boll_ub": _upper_band,
    "boll_lb": _lower_band,
    "rsi_30": _relative_strength,
    "cci_30": _commodity_channel,
    "dx_30": _directional,
    "close_30_sma": lambda _high, _low, close: _mean(close, 30),
    "close_60_sma": lambda _high, _low, close: _mean(close, 60),
}
"Of the highest, lowest and closing prices, in the order of the state."


def turbulence_of(close: Array) -> Array:
    """Return how unusual each day's returns were, beside those of the year before it.

    The squared Mahalanobis distance (Kritzman and Li, 2010); 0 in the first year.
    """
    returns = np.zeros_like(close)
    returns[1:] = close[1:] / close[:-1] - 1
    turbulence = np.zeros(len(close))
    for day in range(_YEAR, len(close)):
        past = returns[day - _YEAR + 1 : day]
        off = returns[day] - past.mean(axis=0)
        spread = np.atleast_2d(np.cov(past, rowvar=False))
        turbulence[day] = off @ np.linalg.pinv(spread) @ off
    return turbulence
