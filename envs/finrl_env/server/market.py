"""Market: the days of several stocks, with indicators; from a file, or the synthetic one.

A file has a row for each stock and day: date, tic, close, and more columns, of which those that are
numbers become indicators. It needs no indicators: those of indicators.py are computed from prices.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass, field
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
_PRICES = ("open", "high", "low", "close", "volume")
TURBULENCE = "turbulence"


@dataclass(frozen=True)
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
    except OSError as error:
        raise ConfigurationError(f"the market cannot be read: {error}") from error
    return market_of(columns, str(path))


def _from_npz(path: Path) -> Market:
    with np.load(path, allow_pickle=False) as arrays:
        tables = {name: arrays[name].astype(np.float64) for name in ("high", "low", "close")}
        return _computed(arrays["stocks"].tolist(), arrays["dates"].tolist(), tables)


def market_of(columns: dict[str, list[Any]], source: str) -> Market:
    """Return the market of columns as a file has them. Raises ConfigurationError."""
    if missing := [name for name in (*_KEYS, "close") if name not in columns]:
        raise ConfigurationError(f"{source} has no column {', '.join(missing)}")
    dates = sorted({str(date) for date in columns["date"]})
    stocks = sorted({str(tic) for tic in columns["tic"]})
    row_of = {date: row for row, date in enumerate(dates)}
    column_of = {tic: column for column, tic in enumerate(stocks)}
    cells = [
        (row_of[str(date)], column_of[str(tic)])
        for date, tic in zip(columns["date"], columns["tic"], strict=True)
    ]
    if len(set(cells)) != len(cells) or len(cells) != len(dates) * len(stocks):
        raise ConfigurationError(
            f"{source} must have one row for each of its {len(stocks)} stocks on each of its "
            f"{len(dates)} days; it has {len(cells)} rows"
        )
    rows, places = (np.array(axis) for axis in zip(*cells, strict=True))
    tables = {}
    for name, values in columns.items():
        if name not in _KEYS and (numbers := _numbers(values)) is not None:
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


def _numbers(values: Iterable[Any]) -> Array | None:
    try:
        numbers = np.array([float(value) for value in values])
    except (TypeError, ValueError):
        return None
    return numbers if np.all(np.isfinite(numbers)) else None


def _read_csv(path: Path) -> dict[str, list[Any]]:
    with path.open(newline="", encoding="utf-8") as file:
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
