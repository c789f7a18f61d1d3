"""collect: play many episodes at once and keep what happened.

Owns the order of the run: which episode is played in which session, what its seed is, what becomes
of one that fails. Where sessions come from is source.py's affair, how a policy is called
policy.py's, what a record holds openenv.recording's.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openenv.client.env import EnvClient
from openenv.errors import (
    TABLE,
    ConfigurationError,
    ConnectError,
    ConnectionLost,
    EnvironmentFault,
    OpenEnvError,
    RequestTimeout,
    ServerClosing,
    SessionCapacityError,
)
from openenv.recording.format import VERSION, Cause, Episode, Turn
from openenv.recording.manifest import Manifest
from openenv.recording.recorder import Recorder, open_recorder
from openenv.rollout.collection import Collection
from openenv.rollout.policy import Completion, PolicyFailed, acting
from openenv.rollout.progress import Tally, progress_bar
from openenv.rollout.source import open_pool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from os import PathLike

    from openenv.client.pool import Pool
    from openenv.models import StepResult
    from openenv.rollout.policy import Policy

logger = logging.getLogger("openenv.rollout")

POLICY_FAILED = "POLICY_FAILED"
"The code of an episode that its policy ended."

SERVER_GONE = (ConnectionLost, ConnectError, ServerClosing)
"Errors that end the run: no episode can be played after them."

FAULTS = frozenset(code for code, cls in TABLE.items() if issubclass(cls, EnvironmentFault))
"Codes of episodes that another environment may play better."

_MASK = 2**64 - 1


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
    retries: int = 0,
    reset_options: Mapping[str, Any] | None = None,
) -> Collection:
    """Play episodes, `concurrency` of them at once, and record each when it ends.

    `source` is a server's URL, a Pool, or an Environment class, which then lives in this process.
    `policy` turns an observation into an action, or, if `batched`, the list of those that wait into
    a list of actions; it may be async. An episode lasts until the environment says `done` or
    `truncated`, or for `max_turns`. With `seed`, episode i begins with `episode_seed(seed, i)`.
    `timeout_s` bounds each step and each call of an async policy. `client_cls` types observations
    and actions; without it they are dicts. `out` is written by a Recorder, and the episodes are not
    kept in memory; `resume` goes on with what a run of the same seed, turns and options has left
    there, so that each episode is recorded once. `progress` None shows a bar on a terminal.

    An episode that the environment, the policy or a timeout ends is recorded as failed, and the
    others go on; what the environment has ended is first begun anew, up to `retries` times. Raises
    ConnectionLost, ConnectError or ServerClosing when the server is gone; whatever ends the run
    early, the episodes that ended before are in the recording's part.
    """
    options = dict(reset_options or {})
    terms = _Terms(episodes, concurrency, max_turns, seed, timeout_s, client_cls, retries, options)
    async with AsyncExitStack() as stack:
        recorder = None
        if out is not None:
            manifest = Manifest(VERSION, seed, max_turns, terms.reset_options)
            recorder = stack.enter_context(
                open_recorder(out, manifest, overwrite=overwrite, resume=resume)
            )
        pool = await stack.enter_async_context(open_pool(source, connections, timeout_s))
        act = await stack.enter_async_context(acting(policy, batched, timeout_s))
        run = _Run(terms, act, recorder)
        if recorder is not None and resume:
            run.skip(recorder.recorded())
        stack.enter_context(progress_bar(progress, run.tally, episodes))
        await run.play_all(pool)
    return run.result()


def episode_seed(seed: int, index: int) -> int:
    """Return the seed of an episode: from 0 to 2**31 - 1, so that every library takes it.

    The upper 31 bits of output number `index` (from 0) of SplitMix64 seeded with `seed`.
    """
    mixed = (seed + (index + 1) * 0x9E3779B97F4A7C15) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return (mixed ^ (mixed >> 31)) >> 33


@dataclass(frozen=True)
class _Terms:
    """What was asked for."""

    episodes: int
    concurrency: int
    max_turns: int | None
    seed: int | None
    timeout_s: float | None
    client_cls: type[EnvClient[Any, Any, Any]] | None
    retries: int
    reset_options: dict[str, Any]

    def __post_init__(self) -> None:
        for name in ("episodes", "concurrency", "max_turns"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"{name} must be at least 1, not {value}")
        for name in ("seed", "episode_id"):
            if name in self.reset_options:
                raise ConfigurationError(f"reset_options holds {name}, which differs by episode")


class _Run:
    """One call of collect: workers, each with a session, take episodes until none is left."""

    def __init__(
        self, terms: _Terms, act: Callable[[Any], Awaitable[Any]], recorder: Recorder | None
    ) -> None:
        self.tally = Tally()
        self._terms = terms
        self._act = act
        self._recorder = recorder
        self._kept: list[Episode] = []
        self._id_prefix = secrets.token_hex(4)
        self._next = 0
        self._recorded: set[int] = set()
        "Episodes that are not to be played again."
        self._returned: list[int] = []
        "Episodes that were taken but could not begin, or are to begin again."
        self._attempts: Counter[int] = Counter()
        self._waiting: set[asyncio.Task[Any]] = set()
        "Workers that have no session yet."
        self._playing = 0

    def result(self) -> Collection:
        """Return what was done."""
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
        self._pass_recorded()

    async def play_all(self, pool: Pool) -> None:
        """Play every episode. Raises what ends the run."""
        self.tally.start()
        count = min(self._terms.concurrency, self._terms.episodes - len(self._recorded))
        if count <= 0:
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
                # The sessions of the other workers are enough.
                if not self._playing:
                    raise
                return
            except EnvironmentFault as error:
                self._take_fault(error)

    async def _use_session(self, pool: Pool) -> None:
        """Play episodes one after another in one session, as long as that can be trusted."""
        client = await self._open(pool)
        self._playing += 1
        try:
            while self._has_more:
                index = self._take()
                episode = await self._play(client, index)
                if self._tries_again(episode):
                    return
                self._finish(episode)
                if episode.error is not None and episode.error.code == RequestTimeout.code:
                    # The server may still be at it; another session need not wait for that.
                    return
        except SessionCapacityError:
            # A server of the published releases refuses only now.
            self._returned.append(index)
            raise
        finally:
            self._playing -= 1
            await _close(client)

    def _tries_again(self, episode: Episode) -> bool:
        """Return an episode that its environment has failed to those that are to be played."""
        self._attempts[episode.episode] += 1
        episode.attempts = self._attempts[episode.episode]
        if (
            episode.error is None
            or episode.error.code not in FAULTS
            or episode.attempts > self._terms.retries
        ):
            del self._attempts[episode.episode]
            return False
        self._returned.append(episode.episode)
        return True

    async def _open(self, pool: Pool) -> EnvClient[Any, Any, Any]:
        worker = asyncio.current_task()
        assert worker is not None
        self._waiting.add(worker)
        try:
            return await pool.session(self._terms.client_cls)
        finally:
            self._waiting.discard(worker)

    @property
    def _has_more(self) -> bool:
        return bool(self._returned) or self._next < self._terms.episodes

    def _take(self) -> int:
        if self._returned:
            return self._returned.pop()
        index, self._next = self._next, self._next + 1
        self._pass_recorded()
        if self._next >= self._terms.episodes:
            for worker in self._waiting:
                worker.cancel()
        return index

    def _pass_recorded(self) -> None:
        while self._next in self._recorded:
            self._next += 1

    def _finish(self, episode: Episode) -> None:
        if self._recorder is not None:
            self._recorder.write(episode)
        else:
            self._kept.append(episode)
        self._count(episode)

    def _count(self, episode: Episode) -> None:
        tally = self.tally
        tally.episodes += 1
        if episode.error is None:
            tally.total_return += episode.return_
            return
        tally.causes[episode.error.code] += 1

    # ---- episodes

    async def _play(self, client: EnvClient[Any, Any, Any], index: int) -> Episode:
        terms, act = self._terms, self._act
        episode = self._begin(index)
        turns, ended = episode.turns, episode.ended
        try:
            result = await client.reset(episode.seed, episode.episode_id, **terms.reset_options)
            episode.final_observation = result.observation
            while not (result.done or result.truncated) and len(turns) != terms.max_turns:
                observation = result.observation
                answer = await act(observation)
                action = answer.action if type(answer) is Completion else answer
                result = await client.step(action, terms.timeout_s)
                turns.append(_turn(observation, answer, result))
                self.tally.steps += 1
                episode.final_observation = result.observation
            ended = "done" if result.done else "truncated" if result.truncated else "max_turns"
        except (*SERVER_GONE, SessionCapacityError):
            raise
        except OpenEnvError as error:
            self._fail(episode, error, error.code)
        except PolicyFailed as error:
            self._fail(episode, error, POLICY_FAILED)
        episode.ended = ended
        episode.length = len(turns)
        episode.return_ = sum((turn.reward or 0.0 for turn in turns), 0.0)
        return episode

    def _begin(self, index: int) -> Episode:
        seed = self._terms.seed
        return Episode(
            version=VERSION,
            episode=index,
            episode_id=f"{self._id_prefix}-{index}",
            seed=None if seed is None else episode_seed(seed, index),
            turns=[],
            return_=0.0,
            length=0,
            ended="failed",
        )

    def _fail(self, episode: Episode, error: Exception, code: str) -> None:
        kind = getattr(error, "remote_type", None) or type(error).__name__
        episode.error = Cause(code, str(error), kind)
        if code not in self.tally.causes:
            logger.warning(
                "episode %d failed (%s, %s): %s; further ones like it are only counted",
                *(episode.episode, code, kind, error),
            )
        logger.debug("episode %d failed", episode.episode, exc_info=error)

    def _take_fault(self, error: EnvironmentFault) -> None:
        """Count an episode whose environment could not even be made."""
        if self._has_more:
            episode = self._begin(self._take())
            self._fail(episode, error, error.code)
            if not self._tries_again(episode):
                self._finish(episode)


def _turn(observation: Any, answer: Any, result: StepResult[Any]) -> Turn:
    outcome = (result.reward, result.done, result.truncated, result.metadata)
    if type(answer) is not Completion:
        return Turn(observation, answer, *outcome)
    tokens = (answer.completion_token_ids, answer.logprobs, answer.loss_mask)
    return Turn(observation, answer.action, *outcome, answer.prompt_token_ids, *tokens)


async def _close(client: EnvClient[Any, Any, Any]) -> None:
    try:
        await client.close()
    except OpenEnvError as error:
        logger.warning("a session could not be closed: %s", error)
