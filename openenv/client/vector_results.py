"""Results of a vector: from what was received to observations, rewards, flags and infos.

Owns what a failed session comes to, and in which row everything stands. Which observations can be
stacked is vector_observations.py's affair, the form of infos vector_infos.py's.
"""

from __future__ import annotations

import logging
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from openenv.client.vector_flight import Outcome, Rows
from openenv.client.vector_infos import (
    ENV_ID,
    ERROR,
    FINAL_INFO,
    FINAL_OBSERVATION,
    add_info,
    add_object,
)
from openenv.client.vector_observations import Observations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openenv.client.env import EnvClient
    from openenv.client.vector_flight import Arrival, Flight
    from openenv.errors import OpenEnvError

    Array = np.ndarray[Any, Any]
    Infos = dict[str, Any]

logger = logging.getLogger("openenv.client")


class Results:
    """Keeps the last observations of a flight's sessions, and makes arrays of what comes."""

    def __init__(
        self, flight: Flight, clients: Sequence[EnvClient[Any, Any, Any]], *, stack: bool
    ) -> None:
        self._flight = flight
        self._count = len(clients)
        self._observations = Observations(clients, stack=stack)

    def arrays(
        self, arrivals: Sequence[Arrival], *, in_order: bool
    ) -> tuple[Any, Array, Array, Array, Infos]:
        """Return what was received: with a row for each session, or, `in_order`, for each that is.

        Raises the first error if there is nothing else.
        """
        many = [arrival for arrival in arrivals if type(arrival) is Rows]
        single = [arrival for arrival in arrivals if type(arrival) is Outcome]
        indices = [*chain.from_iterable(rows.indices for rows in many)]
        indices += [outcome.index for outcome in single]
        order = _in_order(arrivals) if in_order else None
        size = self._count if order is None else len(order)
        places = _Places(order)
        infos: Infos = {}
        self._add_finals(infos, size, places, single)
        errors = self._take_observations(many, single)
        rewards = np.zeros(size, np.float64)
        terminations, truncations = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
        if indices:
            to = indices if order is None else [places[index] for index in indices]
            rewards[to] = _rewards(many, single)
            terminations[to] = [
                *chain.from_iterable(rows.frame.done for rows in many),
                *(outcome.terminated for outcome in single),
            ]
            truncations[to] = [
                *chain.from_iterable(rows.frame.truncated for rows in many),
                *(outcome.truncated for outcome in single),
            ]
        self._add_infos(infos, size, places, many, single)
        if errors:
            truncations[[places[index] for index in errors]] = True
            self._report(errors, len(indices))
            for index, error in errors.items():
                add_object(infos, size, ERROR, places[index], error)
        if order is None:
            return self._observations.of_all(), rewards, terminations, truncations, infos
        infos[ENV_ID] = np.array(order, np.int32)
        return self._observations.of(order), rewards, terminations, truncations, infos

    def _take_observations(
        self, many: list[Rows], single: list[Outcome]
    ) -> dict[int, OpenEnvError]:
        """Remember what is observed; return the errors of all sessions that have failed."""
        errors = {outcome.index: outcome.error for outcome in single if outcome.error is not None}
        unreadable: dict[int, OpenEnvError] = {}
        for rows in many:
            unreadable |= self._observations.take_rows(rows.indices, rows.frame)
        shown = [outcome for outcome in single if outcome.shown is not None]
        if shown:
            unreadable |= self._observations.take(
                [outcome.index for outcome in shown], [outcome.shown for outcome in shown]
            )
        if unreadable:
            # An episode whose observation is lost cannot be gone on with.
            self._flight.over.update(unreadable)
        return {**unreadable, **errors}

    def _add_finals(
        self, infos: Infos, size: int, places: Mapping[int, int], single: list[Outcome]
    ) -> None:
        for outcome in single:
            if not outcome.is_final:
                continue
            place = places[outcome.index]
            info: dict[str, Any] = {}
            observation, error = self._observations.one(outcome.index), None
            if outcome.final is not None:
                observation, error = self._observations.read_one(outcome.index, outcome.final)
                info = outcome.final.metadata or {}
            outcome.error = outcome.error or error
            add_object(infos, size, FINAL_OBSERVATION, place, observation)
            add_info(infos, size, place, {FINAL_INFO: info})

    def _add_infos(
        self,
        infos: Infos,
        size: int,
        places: Mapping[int, int],
        many: list[Rows],
        single: list[Outcome],
    ) -> None:
        for rows in many:
            if rows.frame.metadata is None:
                continue
            for index, metadata in zip(rows.indices, rows.frame.metadata, strict=True):
                if metadata:
                    add_info(infos, size, places[index], metadata)
        for outcome in single:
            if outcome.shown is not None and outcome.shown.metadata:
                add_info(infos, size, places[outcome.index], outcome.shown.metadata)

    def _report(self, errors: Mapping[int, OpenEnvError], received: int) -> None:
        """Raise the error of the first session if nothing else was received, else log it."""
        ids = tuple(sorted(errors))
        error = errors[ids[0]]
        if len(errors) == received:
            error.env_ids = ids
            raise error
        logger.warning(
            "sessions %s of a vector failed; the first (%s): %s", brief(ids), error.code, error
        )


class _Places(dict[int, int]):
    """Session -> row: by the order in which they are returned, or the same number."""

    def __init__(self, order: list[int] | None) -> None:
        super().__init__({index: place for place, index in enumerate(order or ())})

    def __missing__(self, index: int) -> int:
        return index


def _in_order(arrivals: Sequence[Arrival]) -> list[int]:
    order: list[int] = []
    for arrival in arrivals:
        order += arrival.indices if type(arrival) is Rows else [arrival.index]  # type: ignore[union-attr]
    return order


def _rewards(many: list[Rows], single: list[Outcome]) -> list[float]:
    rewards: list[Any] = []
    for rows in many:
        rewards += rows.frame.rewards
    if None in rewards:
        rewards = [reward or 0.0 for reward in rewards]
    rewards += [outcome.reward for outcome in single]
    return rewards


def brief(indices: Sequence[int]) -> str:
    """Return numbers of sessions for a message."""
    shown = ", ".join(map(str, indices[:8]))
    return f"[{shown}, ... {len(indices)} in all]" if len(indices) > 8 else f"[{shown}]"
