"""VectorResults: from received outcomes to observations, rewards, flags and infos.

Owns the rows, and how a failed session is reported. Which observations can be stacked is
observations.py's affair, the form of infos infos.py's.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from openenv.client.vector.flight import BatchReply, StepOutcome
from openenv.client.vector.infos import (
    ENV_ID,
    ERROR,
    FINAL_INFO,
    FINAL_OBSERVATION,
    add_info,
    add_object,
)
from openenv.client.vector.observations import Observations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openenv.client.env import EnvClient
    from openenv.client.vector.flight import Arrival, VectorRequests
    from openenv.errors import OpenEnvError

    Array = np.ndarray[Any, Any]
    Infos = dict[str, Any]

logger = logging.getLogger("openenv.client")


class VectorResults:
    """Makes arrays of the outcomes of a vector's sessions, and keeps their last observations."""

    def __init__(
        self, flight: VectorRequests, clients: Sequence[EnvClient[Any, Any, Any]], *, stack: bool
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
        indices, rewards, done, truncated = _joined(arrivals)
        size = len(indices) if in_order else self._count
        places = _Places(indices if in_order else ())
        infos: Infos = {}
        self._add_finals(infos, size, places, arrivals)
        errors = self._remember_observations(indices, arrivals)
        if in_order:
            observations = self._observations.of(indices)
            infos[ENV_ID] = np.array(indices, np.int32)
        else:
            observations = self._observations.of_all()
        result = (
            observations,
            _column(size, indices, rewards, np.float64, in_order=in_order),
            _column(size, indices, done, np.bool_, in_order=in_order),
            _column(size, indices, truncated, np.bool_, in_order=in_order),
            infos,
        )
        self._add_infos(infos, size, places, arrivals)
        if errors:
            result[3][[places[index] for index in errors]] = True
            self._report(errors, len(indices))
            for index, error in errors.items():
                add_object(infos, size, ERROR, places[index], error)
        return result

    def _remember_observations(
        self, indices: list[int], arrivals: Sequence[Arrival]
    ) -> dict[int, OpenEnvError]:
        """Store the observations; return the errors of all sessions that have failed."""
        unreadable = self._observations.remember(indices, arrivals)
        if unreadable:
            # Nobody can choose an action without the observation: the episode is over.
            self._flight.over.update(unreadable)
        errors = {
            one.index: one.error
            for one in arrivals
            if type(one) is StepOutcome and one.error is not None
        }
        return {**unreadable, **errors}

    def _add_finals(
        self, infos: Infos, size: int, places: Mapping[int, int], arrivals: Sequence[Arrival]
    ) -> None:
        for outcome in arrivals:
            if type(outcome) is not StepOutcome or not outcome.is_final:
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
        self, infos: Infos, size: int, places: Mapping[int, int], arrivals: Sequence[Arrival]
    ) -> None:
        for arrival in arrivals:
            if type(arrival) is StepOutcome:
                if arrival.shown is not None and arrival.shown.metadata:
                    add_info(infos, size, places[arrival.index], arrival.shown.metadata)
            elif arrival.frame.metadata is not None:  # type: ignore[union-attr]
                for index, metadata in zip(arrival.indices, arrival.frame.metadata, strict=True):  # type: ignore[union-attr]
                    if metadata:
                        add_info(infos, size, places[index], metadata)

    def _report(self, errors: Mapping[int, OpenEnvError], received: int) -> None:
        """Raise the first session's error if all sessions failed; otherwise log it."""
        ids = tuple(sorted(errors))
        error = errors[ids[0]]
        if len(errors) == received:
            error.env_ids = ids
            raise error
        logger.warning(
            "sessions %s of a vector failed; the first (%s): %s", brief(ids), error.code, error
        )


class _Places(dict[int, int]):
    """Session -> row: its place in `order`, or without an order the session's own number."""

    def __init__(self, order: Sequence[int]) -> None:
        super().__init__({index: place for place, index in enumerate(order)})

    def __missing__(self, index: int) -> int:
        return index


def _joined(arrivals: Sequence[Arrival]) -> tuple[list[int], list[Any], list[bool], list[bool]]:
    """Return the sessions of all arrivals in their order; and rewards, done and truncated."""
    indices: list[int] = []
    rewards: list[Any] = []
    done: list[bool] = []
    truncated: list[bool] = []
    for arrival in arrivals:
        if type(arrival) is BatchReply:
            indices += arrival.indices
            rewards += arrival.frame.rewards
            done += arrival.frame.done
            truncated += arrival.frame.truncated
        elif type(arrival) is StepOutcome:
            indices.append(arrival.index)
            rewards.append(arrival.reward)
            done.append(arrival.terminated)
            truncated.append(arrival.truncated)
    if None in rewards:
        rewards = [reward or 0.0 for reward in rewards]
    return indices, rewards, done, truncated


def _column(
    size: int, indices: list[int], values: list[Any], dtype: Any, *, in_order: bool
) -> Array:
    """Return the values as an array: in their order, or each in the row of its session."""
    if in_order:
        return np.array(values, dtype)
    column = np.zeros(size, dtype)
    if dtype is np.float64 or True in values:
        column[indices] = values
    return column


def brief(indices: Sequence[int]) -> str:
    """Return numbers of sessions for a message."""
    shown = ", ".join(map(str, indices[:8]))
    return f"[{shown}, ... {len(indices)} in all]" if len(indices) > 8 else f"[{shown}]"
