"""Market: the days of several stocks, with indicators; from a file, or the synthetic one.

A file has a row for each stock and day: date, tic, close, and more columns, of which those that are
numbers become indicators. It needs no indicators: those of indicators.py are computed from prices.
"""

from __future__ import annotations

import csv
import math
import os
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from openenv.errors import ConfigurationError

from .indicators import INDICATORS, turbulence_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

DATA = "FINRL_DATA"
"Variable of the server's environment: a market's file, in place of the synthetic market."
SYNTHETIC = Path(__file__).with_name("market.npz")
"Made by make_market.py."
_KEYS = ("date", "tic")
_PRICES = ("high", "low", "close")
_UNUSED = ("open", "volume")
TURBULENCE = "turbulence"


@dataclass(frozen=True, eq=False)
class Market:
    """Arrays over days and stocks."""

    stocks: list[str]
    dates: list[str]
    prices: Array
    "Closing prices: days x stocks."
    indicators: dict[str, Array] = field(default_factory=dict)
    "Each days x stocks, in the order of the state."
    turbulence: Array | None = None
    "Of each day, for all stocks together."

    @property
    def days(self) -> int:
        """How many there are."""
        return len(self.dates)

    @cache  # noqa: B019 - markets are kept anyway, and all sessions of one share this
    def rows(self, indicators: tuple[str, ...]) -> Array:
        """Return each day's state, zeros where the account's part is. Not to be written to."""
        days, stocks = self.prices.shape
        cash, shares = np.zeros((days, 1)), np.zeros((days, stocks))
        chosen = [self.indicators[name] for name in indicators]
        return np.concatenate([cash, self.prices, shares, *chosen], axis=1)

    @cache  # noqa: B019 - as above
    def price_lists(self) -> list[list[float]]:
        """Return the closing prices of each day as plain numbers. Not to be written to."""
        prices: list[list[float]] = self.prices.tolist()
        return prices

    @staticmethod
    def load(path: str | Path | None = None) -> Market:
        """Return the market of a CSV or Parquet file.

        Without one it is that of the variable FINRL_DATA, or the synthetic market. Raises
        ConfigurationError.
        """
        return _load(Path(path or os.environ.get(DATA) or SYNTHETIC).absolute())


@cache
def _load(path: Path) -> Market:
    # Kept, as every session has the same; its arrays are never written to.
    try:
        if path.suffix == ".npz":
            return _from_npz(path)
        columns = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    except ConfigurationError:
        raise
    except (OSError, ValueError, csv.Error) as error:
        raise ConfigurationError(f"the market {path} cannot be read: {error}") from error
    return market_of(columns, str(path))


def _from_npz(path: Path) -> Market:
    with np.load(path, allow_pickle=False) as arrays:
        tables = {name: arrays[name].astype(np.float64) for name in ("high", "low", "close")}
        return _computed(arrays["stocks"].tolist(), arrays["dates"].tolist(), tables)


def market_of(columns: dict[str, list[Any]], source: str) -> Market:
    """Return the market of columns as a file has them. Raises ConfigurationError."""
    if missing := [name for name in (*_KEYS, "close") if name not in columns]:
        raise ConfigurationError(f"{source} has no column {', '.join(missing)}")
    days = [_date(date, source) for date in columns["date"]]
    dates = sorted(set(days))
    stocks = sorted({str(tic) for tic in columns["tic"]})
    row_of = {date: row for row, date in enumerate(dates)}
    column_of = {tic: column for column, tic in enumerate(stocks)}
    cells = [
        (row_of[date], column_of[str(tic)]) for date, tic in zip(days, columns["tic"], strict=True)
    ]
    if len(set(cells)) != len(cells) or len(cells) != len(dates) * len(stocks):
        raise ConfigurationError(
            f"{source} must have one row for each of its {len(stocks)} stocks on each of its "
            f"{len(dates)} days; it has {len(cells)} rows"
        )
    rows, places = (np.array(axis) for axis in zip(*cells, strict=True))
    tables = {}
    for name, values in columns.items():
        if name in (*_KEYS, *_UNUSED):
            continue
        if (numbers := _numbers(name, values, source)) is not None:
            table = np.empty((len(dates), len(stocks)))
            table[rows, places] = numbers
            tables[name] = table
    if "close" not in tables or not np.all(tables["close"] > 0):
        raise ConfigurationError(f"{source}: every close must be a number above 0")
    return _computed(stocks, dates, tables)


def _computed(stocks: list[str], dates: list[str], tables: dict[str, Array]) -> Market:
    """Return a market, whose indicators are those of the tables or computed."""
    given = {k: table for k, table in tables.items() if k not in (*_PRICES, TURBULENCE)}
    close = tables["close"]
    high, low = tables.get("high", close), tables.get("low", close)
    indicators = given or {name: make(high, low, close) for name, make in INDICATORS.items()}
    own = tables.get(TURBULENCE)
    turbulence = turbulence_of(close) if own is None else own[:, 0]
    return Market(stocks, dates, close, indicators, turbulence)


def _date(given: Any, source: str) -> str:
    """Return a date so that its text sorts as it does; with the time, if it has one."""
    try:
        date = datetime.fromisoformat(str(given))
    except ValueError:
        raise ConfigurationError(
            f"{source}: dates must be as in 2020-01-31, not {given!r}"
        ) from None
    return str(date).removesuffix(" 00:00:00")


def _numbers(name: str, values: Iterable[Any], source: str) -> Array | None:
    """Return a column of numbers; None for one of text.

    Raises ConfigurationError for a column of both.
    """
    numbers = np.array([_number(value) for value in values])
    are_missing = np.isnan(numbers)
    if are_missing.all():
        return None
    if are_missing.any():
        row = int(np.argmax(are_missing)) + 1
        raise ConfigurationError(
            f"{source}: every {name} must be a number; that of row {row} is none"
        )
    return numbers


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _read_csv(path: Path) -> dict[str, list[Any]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ConfigurationError(f"{path} has no rows")
    # A first column without a name is the index that pandas writes.
    return {name: [row[name] for row in rows] for name in rows[0] if name}


def _read_parquet(path: Path) -> dict[str, list[Any]]:
    try:
        from pyarrow import parquet  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{path} needs pyarrow: pip install 'openenv-finrl[parquet]'"
        ) from error
    columns: dict[str, list[Any]] = parquet.read_table(path).to_pydict()
    return columns
