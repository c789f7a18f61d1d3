"""Results of a vector: from outcomes to observations, rewards, flags and infos.

Owns what a failed session comes to, and in which row everything stands. Which observations can be
stacked is vector_observations.py's affair, the form of infos vector_infos.py's.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

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
    from collections.abc import Sequence

    from openenv.client.env import EnvClient
    from openenv.client.vector_flight import Flight, Outcome
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
        self._clients = clients
        self._observations = Observations(len(clients), stack=stack)

    def arrays(
        self, outcomes: list[Outcome], order: list[int] | None
    ) -> tuple[Any, Array, Array, Array, Infos]:
        """Return what outcomes come to: a row for each session, or for each in this order.

        Raises the first error if there is nothing else.
        """
        infos: Infos = {}
        size = len(self._clients) if order is None else len(order)
        places = [outcome.index for outcome in outcomes] if order is None else range(size)
        self._add_finals(infos, size, places, outcomes)
        self._take_observations(outcomes)
        rewards = np.zeros(size, np.float64)
        terminations, truncations = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
        if outcomes:
            rewards[places] = [outcome.reward for outcome in outcomes]
            terminations[places] = [outcome.terminated for outcome in outcomes]
            truncations[places] = [outcome.truncated for outcome in outcomes]
        for place, outcome in zip(places, outcomes, strict=True):
            if outcome.error is not None:
                add_object(infos, size, ERROR, place, outcome.error)
            if outcome.shown is not None and outcome.shown.metadata:
                add_info(infos, size, place, outcome.shown.metadata)
        if ERROR in infos:
            self._report(outcomes)
        if order is None:
            return self._observations.of_all(), rewards, terminations, truncations, infos
        infos[ENV_ID] = np.array(order, np.int32)
        return self._observations.of(order), rewards, terminations, truncations, infos

    def _take_observations(self, outcomes: list[Outcome]) -> None:
        shown = [outcome for outcome in outcomes if outcome.shown is not None]
        if not shown:
            return
        failures = self._observations.take(
            [outcome.index for outcome in shown],
            [self._clients[outcome.index] for outcome in shown],
            [outcome.shown for outcome in shown],
        )
        if failures:
            for outcome in shown:
                if outcome.index in failures:
                    self._refuse(outcome, failures[outcome.index])

    def _refuse(self, outcome: Outcome, error: OpenEnvError) -> None:
        """End an episode whose observation cannot be read."""
        outcome.error = outcome.error or error
        outcome.truncated = True
        self._flight.over.add(outcome.index)

    def _add_finals(
        self, infos: Infos, size: int, places: Sequence[int], outcomes: list[Outcome]
    ) -> None:
        for place, outcome in zip(places, outcomes, strict=True):
            if not outcome.is_final:
                continue
            final, info = self._final(outcome)
            add_object(infos, size, FINAL_OBSERVATION, place, final)
            add_info(infos, size, place, {FINAL_INFO: info})

    def _final(self, outcome: Outcome) -> tuple[Any, dict[str, Any]]:
        """Return the last observation of an episode that was followed by another, and its info."""
        if outcome.final is None:
            return self._observations.one(outcome.index), {}
        client = self._clients[outcome.index]
        columns, objects, failures = self._observations.read([client], [outcome.final])
        if failures:
            self._refuse(outcome, failures[0])
            return self._observations.one(outcome.index), {}
        return self._observations.one_of(columns, objects, 0), outcome.final.metadata or {}

    def _report(self, outcomes: list[Outcome]) -> None:
        """Raise the error of the first session if all outcomes are errors, else log it."""
        errors = {one.index: one.error for one in outcomes if one.error is not None}
        ids = tuple(sorted(errors))
        error = errors[ids[0]]
        if len(errors) == len(outcomes):
            error.env_ids = ids
            raise error
        logger.warning(
            "sessions %s of a vector failed; the first (%s): %s", brief(ids), error.code, error
        )


def brief(indices: Sequence[int]) -> str:
    """Return numbers of sessions for a message."""
    shown = ", ".join(map(str, indices[:8]))
    return f"[{shown}, ... {len(indices)} in all]" if len(indices) > 8 else f"[{shown}]"
