"""Pictures: scaled by area, and stacked. Knows nothing of games."""

from __future__ import annotations

import functools
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable

Picture = NDArray[np.uint8]


@functools.lru_cache(maxsize=64)
def scaler(height: int, width: int, to_height: int, to_width: int) -> Callable[[Picture], Picture]:
    """Return a function that scales grey pictures: each new pixel is the mean of what it covers.

    As sums of a few picked rows and columns, since a product of matrices would wake as many threads
    as there are cores for every frame.
    """
    rows, row_weights = _taps(height, to_height)
    columns, column_weights = _taps(width, to_width)

    def scale(picture: Picture) -> Picture:
        source = picture.astype(np.float32)
        lines = np.zeros((to_height, width), np.float32)
        for row, weight in zip(rows, row_weights, strict=True):
            lines += source[row] * weight[:, None]
        pixels = np.zeros((to_height, to_width), np.float32)
        for column, weight in zip(columns, column_weights, strict=True):
            pixels += lines[:, column] * weight
        return np.rint(pixels).astype(np.uint8)

    return scale


def _taps(size: int, to_size: int) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Return which old pixels each new one covers, and how much of it each is: taps x new size."""
    edges = np.arange(to_size + 1) * size / to_size
    first, last = edges[:-1, None], edges[1:, None]
    count = int(np.ceil(size / to_size)) + 1
    indices = np.floor(first).astype(int) + np.arange(count)
    covered = np.minimum(last, indices + 1) - np.maximum(first, indices)
    weights = np.clip(covered, 0, None) * to_size / size
    return np.minimum(indices, size - 1).T, weights.T.astype(np.float32)


class Stack:
    """The last few pictures, the oldest first; a stack of one is the picture itself."""

    def __init__(self, depth: int) -> None:
        self._pictures: deque[Picture] = deque(maxlen=depth)

    def fill(self, picture: Picture) -> None:
        """Begin with nothing but this picture."""
        self._pictures.extend([picture] * (self._pictures.maxlen or 1))

    def push(self, picture: Picture) -> None:
        """Add the newest."""
        self._pictures.append(picture)

    def array(self) -> Picture:
        """Return them as one array."""
        return self._pictures[0] if len(self._pictures) == 1 else np.stack(self._pictures)

    def pictures(self) -> list[Picture]:
        """Return them one by one."""
        return list(self._pictures)

    def restore(self, pictures: list[Picture]) -> None:
        """Go on with these."""
        self._pictures.extend(pictures)
