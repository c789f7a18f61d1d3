"""collect: play many episodes at once and keep what happened.

Owns the order of the run: which episode is played in which session, what becomes of one that fails,
and what if the server is gone. How one is played is player.py's affair, where sessions come from
source.py's, how a policy is called policy.py's, what a record holds openenv.recording's.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openenv.client.env import EnvClient
from openenv.client.pool import Pool
from openenv.errors import (
    ConfigurationError,
    ConnectError,
    ConnectionLost,
    EnvironmentFault,
    OpenEnvError,
    RequestTimeout,
    ServerClosing,
    SessionCapacityError,
    SessionExpired,
)
from openenv.recording.format import VERSION
from openenv.recording.manifest import RunManifest
from openenv.recording.recorder import Recorder, open_recorder
from openenv.rollout.collection import Collection
from openenv.rollout.player import POLICY_FAILED, Player, episode_seed
from openenv.rollout.policy import acting_by_episode
from openenv.rollout.progress import Tally, progress_bar
from openenv.rollout.source import open_pool

__all__ = ["POLICY_FAILED", "collect", "episode_seed"]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractAsyncContextManager
    from os import PathLike

    from openenv.recording.format import Episode
    from openenv.rollout.policy import Act, Policy

logger = logging.getLogger("openenv.rollout")

SERVER_GONE = (ConnectionLost, ConnectError, ServerClosing)
"Errors after which a worker waits for the server; they end the run if it stays away."

LOSSES = 5
"How many sessions an episode may lose before it fails: its own actions may end the server."

LONGEST_PAUSE_S = 1.0
"The longest pause between two attempts to reach a server that is gone."


async def collect(
    source: Any,
    policy: Policy,
    *,
    episodes: int,
    concurrency: int = 64,
    max_turns: int | None = None,
    seed: int | None = None,
    out: str | PathLike[str] | None = None,
    overwrite: bool = False,
    resume: bool = False,
    client_cls: type[EnvClient[Any, Any, Any]] | None = None,
    batched: bool | None = None,
    progress: bool | None = None,
    connections: int = 2,
    timeout_s: float | None = None,
    policy_timeout_s: float | None = None,
    server_wait_s: float = 60.0,
    retries: int = 0,
    reset_options: Mapping[str, Any] | None = None,
) -> Collection:
    """Play episodes, `concurrency` of them at once, and record each when it ends.

    `source` is a server's URL, a Pool, or an Environment class, which then lives in this process.
    `policy` turns an observation into an action, or, if `batched`, the list of those that wait into
    a list of actions; it may be async. If it has a method `for_episode(episode_id, seed)`, that
    returns the policy of an episode, which may remember. An episode lasts until the environment
    says `done` or `truncated`, or for `max_turns`. With `seed`, episode i begins with
    `episode_seed(seed, i)`. `timeout_s` bounds each step, `policy_timeout_s` each call of the
    policy: one that is async is cancelled, any other is then called on a thread, which is left
    behind. `client_cls` types observations and actions; without it they are dicts. `out` is written
    by a Recorder, and the episodes are not kept in memory; `resume` goes on with what a run of the
    same seed, turns and options has left there, so that each episode is recorded once. `progress`
    None shows a bar on a terminal. Spectators find the run's sessions by the label `collect/NAME`,
    of what `out` is called without its ending, or of what the episodes' names begin with.

    An episode that the environment, the policy or a timeout ends is recorded as failed, and the
    others go on; what the environment has ended is first begun anew, up to `retries` times. One
    that loses its session with the server is always begun anew, when the server is back. Raises
    ConnectionLost, ConnectError or ServerClosing when the server stays away for `server_wait_s`;
    whatever ends the run early, the episodes that ended before are in the recording's part.
    """
    options = dict(reset_options or {})
    terms = _Terms(
        episodes=episodes,
        concurrency=concurrency,
        max_turns=max_turns,
        seed=seed,
        timeout_s=timeout_s,
        policy_timeout_s=policy_timeout_s,
        # An environment in this process cannot restart, so there is nothing to wait for.
        server_wait_s=server_wait_s if isinstance(source, str | Pool) else 0.0,
        client_cls=client_cls,
        retries=retries,
        reset_options=options,
    )
    async with AsyncExitStack() as stack:
        recorder = None
        if out is not None:
            manifest = RunManifest(VERSION, seed, max_turns, terms.reset_options)
            recorder = stack.enter_context(
                open_recorder(out, manifest, overwrite=overwrite, resume=resume)
            )
        pool = await stack.enter_async_context(open_pool(source, connections, timeout_s))
        acting = await stack.enter_async_context(
            acting_by_episode(policy, batched, policy_timeout_s)
        )
        run = _Run(terms, acting, recorder)
        if recorder is not None and resume:
            run.skip(recorder.recorded())
        stack.enter_context(progress_bar(progress, run.tally, episodes))
        await run.play_all(pool)
    return run.result()


@dataclass(frozen=True)
class _Terms:
    """What was asked for."""

    episodes: int
    concurrency: int
    max_turns: int | None
    seed: int | None
    timeout_s: float | None
    policy_timeout_s: float | None
    server_wait_s: float
    client_cls: type[EnvClient[Any, Any, Any]] | None
    retries: int
    reset_options: dict[str, Any]

    def __post_init__(self) -> None:
        for name in ("episodes", "concurrency", "max_turns"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"{name} must be at least 1, not {value}")
        for name in ("timeout_s", "policy_timeout_s"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigurationError(f"{name} must be greater than 0, not {value}")
        for name in ("seed", "episode_id"):
            if name in self.reset_options:
                raise ConfigurationError(f"reset_options holds {name}, which differs by episode")


class _Run:
    """One call of collect: workers, each with a session, play episodes until none is left."""

    def __init__(
        self,
        terms: _Terms,
        acting: Callable[[str, int | None], AbstractAsyncContextManager[Act]],
        recorder: Recorder | None,
    ) -> None:
        self.tally = Tally()
        self._terms = terms
        self._player = Player(
            acting,
            self.tally,
            max_turns=terms.max_turns,
            seed=terms.seed,
            timeout_s=terms.timeout_s,
            reset_options=terms.reset_options,
        )
        self._recorder = recorder
        name = self._player.id_prefix if recorder is None else recorder.path.name.partition(".")[0]
        self._label = f"collect/{name}"
        "The label of the run's sessions, by which spectators find them."
        self._kept: list[Episode] = []
        self._next = 0
        self._recorded: set[int] = set()
        "Numbers of episodes that an earlier run has recorded."
        self._returned: list[int] = []
        "Numbers of episodes that could not begin, or are to begin again."
        self._attempts: Counter[int] = Counter()
        self._losses: Counter[int] = Counter()
        self._waiting: set[asyncio.Task[Any]] = set()
        "Workers that have no session yet."
        self._is_server_gone = False
        self._playing = 0

    def result(self) -> Collection:
        """Return the outcome of the run."""
        tally, recorder = self.tally, self._recorder
        self._kept.sort(key=lambda episode: episode.episode)
        return Collection(
            tally.episodes,
            tally.steps,
            tally.failures,
            dict(tally.causes),
            tally.mean_return,
            tally.duration_s,
            recorder.path if recorder is not None else None,
            self._kept,
            len(self._recorded),
            tally.resumed_steps,
        )

    def skip(self, recorded: Iterable[Episode]) -> None:
        """Count these episodes as this run's, and do not play them again."""
        for episode in recorded:
            self._recorded.add(episode.episode)
            self.tally.resumed_steps += episode.length
            self.tally.steps += episode.length
            self._count(episode)
        self.tally.resumed_episodes = len(self._recorded)
        self._skip_recorded()

    async def play_all(self, pool: Pool) -> None:
        """Play every episode. Raises the error that ends the run."""
        self.tally.start()
        episodes = self._terms.episodes
        missing = episodes - sum(index < episodes for index in self._recorded)
        count = min(self._terms.concurrency, missing)
        if not count:
            self.tally.stop()
            return
        workers = [asyncio.create_task(self._work(pool)) for _ in range(count)]
        try:
            await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.wait(workers)
            self.tally.stop()
        for worker in workers:
            if not worker.cancelled() and (error := worker.exception()) is not None:
                raise error

    # ---- workers

    async def _work(self, pool: Pool) -> None:
        while self._has_more:
            try:
                await self._use_session(pool)
            except SessionCapacityError:
                # The server is full. The workers that have sessions play the remaining episodes.
                if not self._playing:
                    raise
                return
            except EnvironmentFault as error:
                self._record_fault(error)

    async def _use_session(self, pool: Pool) -> None:
        """Play episodes one after another in one session, until the session may be unusable."""
        client = await self._open(pool)
        self._playing += 1
        try:
            while self._has_more:
                index = self._next_index()
                episode, failure = await self._player.play(client, index)
                if isinstance(failure, SessionCapacityError):
                    # Servers of the published releases accept the socket and refuse the reset.
                    self._returned.append(index)
                    raise failure
                if self._tries_again(episode, failure):
                    return
                self._finish(episode)
                if isinstance(failure, RequestTimeout | SessionExpired | ConnectionLost):
                    # The abandoned step may still run in this session: use another one.
                    return
        finally:
            self._playing -= 1
            await _close(client)

    def _tries_again(self, episode: Episode, failure: Exception | None) -> bool:
        """Whether a failed episode is played again; if so, queue its number."""
        index = episode.episode
        self._attempts[index] += 1
        episode.attempts = self._attempts[index]
        if isinstance(failure, (*SERVER_GONE, SessionExpired)):
            self._losses[index] += 1
            tries_again = self._losses[index] <= LOSSES
        else:
            faults = episode.attempts - self._losses[index]
            tries_again = isinstance(failure, EnvironmentFault) and faults <= self._terms.retries
        if tries_again:
            self._returned.append(index)
        else:
            del self._attempts[index], self._losses[index]
        return tries_again

    async def _open(self, pool: Pool) -> EnvClient[Any, Any, Any]:
        """Open a session; wait for the server if it is gone. Raises the error that ends the run."""
        worker = asyncio.current_task()
        assert worker is not None
        loop = asyncio.get_running_loop()
        give_up_at_s = loop.time() + self._terms.server_wait_s
        self._waiting.add(worker)
        try:
            while True:
                try:
                    client = await pool.session(self._terms.client_cls, label=self._label)
                    self._is_server_gone = False
                    return client
                except SERVER_GONE as error:
                    if loop.time() >= give_up_at_s:
                        raise
                    if not self._is_server_gone:
                        self._is_server_gone = True
                        logger.warning("the server is gone (%s): waiting for it", error)
                    await asyncio.sleep(random.uniform(0, LONGEST_PAUSE_S))
        finally:
            self._waiting.discard(worker)

    @property
    def _has_more(self) -> bool:
        return bool(self._returned) or self._next < self._terms.episodes

    def _next_index(self) -> int:
        if self._returned:
            return self._returned.pop()
        index, self._next = self._next, self._next + 1
        self._skip_recorded()
        if self._next >= self._terms.episodes:
            for worker in self._waiting:
                worker.cancel()
        return index

    def _skip_recorded(self) -> None:
        while self._next in self._recorded:
            self._next += 1

    def _finish(self, episode: Episode) -> None:
        if self._recorder is not None:
            self._recorder.write(episode)
        else:
            self._kept.append(episode)
        cause = episode.error
        if cause is not None and cause.code not in self.tally.causes:
            logger.warning(
                "episode %d failed (%s, %s): %s; further ones like it are only counted",
                *(episode.episode, cause.code, cause.type, cause.message),
            )
        self._count(episode)

    def _count(self, episode: Episode) -> None:
        tally = self.tally
        tally.episodes += 1
        if episode.error is None:
            tally.total_return += episode.return_
            return
        tally.causes[episode.error.code] += 1

    def _record_fault(self, error: EnvironmentFault) -> None:
        """Record an episode as failed because no environment could be made for it."""
        if self._has_more:
            episode = self._player.begin(self._next_index())
            self._player.fail(episode, error, error.code)
            if not self._tries_again(episode, error):
                self._finish(episode)


async def _close(client: EnvClient[Any, Any, Any]) -> None:
    try:
        await client.close()
    except OpenEnvError as error:
        logger.warning("a session could not be closed: %s", error)
