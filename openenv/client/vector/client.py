"""VectorClient: many sessions of a pool as one vector, with the names and semantics of Gymnasium.

Owns the calls and checks their arguments before anything is sent. Requests are flight.py's affair,
payloads actions.py's, and arrays of results results.py's. sync.py has the blocking form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from openenv.client.vector.actions import Actions, MakeAction
from openenv.client.vector.autoreset import AutoresetMode, mode_of
from openenv.client.vector.flight import VectorRequests
from openenv.client.vector.results import VectorResults, brief
from openenv.client.vector.sync import SyncVectorClient
from openenv.errors import ConfigurationError, LocalProtocolError, NotReset

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from openenv.client.env import EnvClient
    from openenv.client.ports import SessionPool
    from openenv.client.vector.flight import Arrival
    from openenv.client.vector.results import Array, Infos

RESET_MASK = "reset_mask"


class VectorClient:
    """`async with pool.vector(64, MyEnv) as vector:`; the first `reset` connects too.

    Observations are arrays with a row for each session, if every observation is made of numbers,
    lists of numbers and arrays: one array if the observation has one field, else a dict of arrays.
    Otherwise they are a list of the client class's observations. The first observations decide
    which of both.

    A session that fails does not delay the others. Its error is in `infos["session_error"]`, its
    episode is truncated, and the next one begins as after any other end, in a new session if the
    old one is lost. If every session of a call has failed, the first error is raised, with the
    numbers of all in `env_ids`.
    """

    def __init__(
        self,
        pool: SessionPool,
        num_envs: int,
        client_cls: type[EnvClient[Any, Any, Any]],
        *,
        autoreset_mode: Any = AutoresetMode.NEXT_STEP,
        action: MakeAction | None = None,
        stack: bool = True,
        wait_s: float = 0.0,
        label: str | None = None,
    ) -> None:
        """Check the options; see `Pool.vector`."""
        if num_envs < 1:
            raise ConfigurationError(f"a vector has at least 1 session, not {num_envs}")
        self.num_envs = num_envs
        self.autoreset_mode = mode_of(autoreset_mode)
        self._pool = pool
        self._owns_pool = False
        self._client_cls = client_cls
        self._actions = Actions(client_cls, action)
        self._stack = stack
        self._wait_s = wait_s
        self._label = label
        self._clients: list[EnvClient[Any, Any, Any]] = []
        self._flight: VectorRequests | None = None
        self._results: VectorResults | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        """What Gymnasium's vectors say of themselves."""
        return {"autoreset_mode": self.autoreset_mode}

    @property
    def in_flight(self) -> list[int]:
        """Sessions whose results have been asked for with `send` and not been received yet."""
        return [] if self._flight is None else sorted(self._flight.in_flight)

    # ---- life

    async def connect(self) -> Self:
        """Open the sessions; `reset` does it too.

        Opens the pool, if nobody has, and closes it with the vector. Raises ConnectError and
        SessionCapacityError.
        """
        if self._flight is not None:
            return self
        if not self._pool.is_open:
            await self._pool.__aenter__()
            self._owns_pool = True
        try:
            self._clients = await self._pool.sessions(
                self.num_envs, self._client_cls, wait_s=self._wait_s, label=self._label
            )
        except BaseException:
            await self.close()
            raise
        self._flight = VectorRequests(
            self._clients,
            begins_at_once=self.autoreset_mode is AutoresetMode.SAME_STEP,
            wait_s=self._wait_s,
        )
        self._results = VectorResults(self._flight, self._clients, stack=self._stack)
        return self

    async def close(self) -> None:
        """End all sessions, whatever they are doing."""
        flight, self._flight = self._flight, None
        try:
            if flight is not None:
                await flight.close()
        finally:
            if self._owns_pool:
                self._owns_pool = False
                await self._pool.__aexit__(None, None, None)

    async def __aenter__(self) -> Self:
        """Open the sessions."""
        return await self.connect()

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    def sync(self) -> SyncVectorClient:
        """Return the blocking form of this vector, for code without an event loop."""
        return SyncVectorClient(self)

    # ---- all at once

    async def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[Any, Infos]:
        """Begin episodes; return observations and infos.

        A `seed` is that of the first session, the others get the numbers after it; or there is a
        list. Where `options["reset_mask"]` is False nothing is reset, and the last observation is
        returned again. Other options go to the environments' `reset`.
        """
        await self.connect()
        arrivals = await self._receive(self._begin(seed, options))
        observations, _, _, _, infos = self._arrays(arrivals)
        return observations, infos

    async def step(
        self, actions: Any, *, mask: Any = None, timeout_s: float | None = None
    ) -> tuple[Any, Array, Array, Array, Infos]:
        """Step; return observations, rewards, terminations, truncations and infos.

        There is an action for each session. Where `mask` is False it is not used: the session
        keeps its last observation, its reward is 0. An environment gets at most `timeout_s`.
        """
        flight = self._require_flight()
        self._check_idle(flight)
        indices = range(self.num_envs) if mask is None else _true(mask, self.num_envs, "mask")
        count = self._send(flight, actions, indices, timeout_s, actions_of_all=True)
        return self._arrays(await self._receive(count))

    # ---- results in the order in which they are ready

    async def async_reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Begin episodes as `reset` does; `recv` returns the observations."""
        await self.connect()
        self._begin(seed, options)

    async def send(
        self,
        actions: Any,
        env_ids: Sequence[int] | Array | None = None,
        *,
        timeout_s: float | None = None,
    ) -> None:
        """Step these sessions, or all, each with its action; `recv` returns the results.

        Raises LocalProtocolError, and sends nothing, if a result of one of them has not been
        received yet.
        """
        flight = self._require_flight()
        of_all = env_ids is None
        indices = range(self.num_envs) if env_ids is None else _ids(env_ids, self.num_envs)
        self._send(flight, actions, indices, timeout_s, actions_of_all=of_all)

    async def recv(self, m: int | None = None) -> tuple[Any, Array, Array, Array, Infos]:
        """Return the results of the first `m` sessions that are ready; None: of all in flight.

        They are in the order in which they became ready, which `infos["env_id"]` says. Each result
        is returned once; when the call is cancelled, they are there for the next one.
        """
        flight = self._require_flight()
        under_way = len(flight.in_flight)
        count = under_way if m is None else m
        if not under_way:
            raise LocalProtocolError("there is nothing to receive: send first")
        if not 1 <= count <= under_way:
            raise LocalProtocolError(
                f"{count} results cannot be received, {under_way} sessions are in flight: "
                f"ask for 1 to {under_way}"
            )
        return self._arrays(await self._receive(count), in_order=True)

    # ---- asking

    def _begin(
        self, seed: int | Sequence[int | None] | None, options: Mapping[str, Any] | None
    ) -> int:
        """Send resets; return how many."""
        flight = self._require_flight()
        seeds = _seeds(seed, self.num_envs)
        rest = dict(options or {})
        indices: Sequence[int] = range(self.num_envs)
        if RESET_MASK in rest:
            indices = _true(rest.pop(RESET_MASK), self.num_envs, f"options['{RESET_MASK}']")
            never = flight.unbegun.difference(indices)
            if never:
                raise NotReset(f"sessions {sorted(never)} have never been reset: reset all first")
        self._check_idle(flight, indices)
        for index in indices:
            flight.begin(index, seeds[index], rest)
        return len(indices)

    def _send(
        self,
        flight: VectorRequests,
        actions: Any,
        indices: Sequence[int],
        timeout_s: float | None,
        *,
        actions_of_all: bool,
    ) -> int:
        """Send steps, and resets where an episode is over; return how many.

        `actions_of_all`: there is an action for each session, not only for these. Everything is
        checked before anything is sent.
        """
        if flight.in_flight:
            self._check_idle(flight, indices)
        if flight.unbegun:
            never = sorted(flight.unbegun.intersection(indices))
            if never:
                raise NotReset(f"sessions {never} have never been reset: call reset first")
        if actions_of_all:
            payloads: Any = self._actions.payloads(actions, self._clients)
        else:
            clients = [self._clients[index] for index in indices]
            payloads = dict(zip(indices, self._actions.payloads(actions, clients), strict=True))
        if flight.over and self.autoreset_mode is AutoresetMode.DISABLED:
            over = flight.over.intersection(indices)
            if over:
                raise LocalProtocolError(
                    f"the episodes of sessions {sorted(over)} are over: reset them first, "
                    f"with options={{'{RESET_MASK}': ...}}"
                )
        flight.step(payloads, timeout_s, None if type(indices) is range else set(indices))
        return len(indices)

    async def _receive(self, count: int) -> list[Arrival]:
        flight = self._require_flight()
        if flight.is_received:
            raise LocalProtocolError("another task is receiving: one at a time can")
        return await flight.receive(count)

    def _arrays(
        self, arrivals: list[Arrival], *, in_order: bool = False
    ) -> tuple[Any, Array, Array, Array, Infos]:
        assert self._results is not None
        return self._results.arrays(arrivals, in_order=in_order)

    def _require_flight(self) -> VectorRequests:
        if self._flight is None:
            raise NotReset("call reset first")
        return self._flight

    def _check_idle(self, flight: VectorRequests, indices: Iterable[int] | None = None) -> None:
        busy = flight.in_flight if indices is None else flight.in_flight.intersection(indices)
        if busy:
            raise LocalProtocolError(
                f"results of sessions {brief(sorted(busy))} have not been received yet: "
                "receive them first, with recv()"
            )


def _seeds(seed: int | Sequence[int | None] | None, count: int) -> list[int | None]:
    if seed is None:
        return [None] * count
    if isinstance(seed, int | np.integer):
        return [int(seed) + index for index in range(count)]
    if len(seed) != count:
        raise ConfigurationError(f"{count} seeds are due, one for each session, not {len(seed)}")
    return [None if one is None else int(one) for one in seed]


def _true(mask: Any, count: int, name: str) -> list[int]:
    """Return where a mask is true."""
    array = np.asarray(mask)
    if array.dtype != np.bool_ or array.shape != (count,):
        raise ConfigurationError(
            f"{name} holds {count} booleans, not {array.dtype} of shape {list(array.shape)}"
        )
    return np.flatnonzero(array).tolist()


def _ids(env_ids: Sequence[int] | Array, count: int) -> list[int]:
    array = np.asarray(env_ids)
    if array.ndim != 1 or not array.size or array.dtype.kind not in "iu":
        raise ConfigurationError(f"env_ids are numbers of sessions, at least one, not {env_ids!r}")
    ids: list[int] = array.tolist()
    if min(ids) < 0 or max(ids) >= count:
        raise ConfigurationError(f"env_ids are from 0 to {count - 1}, not {brief(ids)}")
    if len(set(ids)) < len(ids):
        raise ConfigurationError(f"each of env_ids is there once, not as in {brief(ids)}")
    return ids
