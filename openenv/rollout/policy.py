"""Policies: functions from observation to action, in each of the forms that users may write.

Knows nothing of environments. A plain policy is called for each observation. A batched policy gets
all observations that wait at the moment; its calls never overlap.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping, Set
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from openenv.rollout.policy_thread import PolicyThread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    Act = Callable[[Any], Awaitable[Any]]

Policy = Any
"""From observation to action (or `Completion`), or, batched, from list to list; async or not.

Or an object whose `for_episode(episode_id, seed)` returns such a function for one episode."""

TOKENS = {
    "prompt_token_ids": list[int],
    "completion_token_ids": list[int],
    "logprobs": list[float],
    "loss_mask": list[int],
}
"The fields of a Completion beside the action, with their types."


@dataclass
class Completion:
    """An action with the tokens that a language model made it of, for training on the recording.

    Arrays and tensors become lists. Raises ValueError for what is no list of numbers, and unless
    `logprobs` and `loss_mask` have a value for each completion token.
    """

    action: Any
    prompt_token_ids: list[int] | None = None
    completion_token_ids: list[int] | None = None
    logprobs: list[float] | None = None
    "Natural logarithms."
    loss_mask: list[int] | None = None
    "1 for each completion token that is to be learned from, else 0."

    def __post_init__(self) -> None:
        for name, kind in TOKENS.items():
            values = getattr(self, name)
            if values is None:
                continue
            listed = values.tolist() if hasattr(values, "tolist") else values
            try:
                setattr(self, name, msgspec.convert(listed, kind))
            except msgspec.ValidationError as error:
                raise ValueError(f"{name} must be a {kind}: {error}") from error
        written = len(self.completion_token_ids or ())
        for name in ("logprobs", "loss_mask"):
            values = getattr(self, name)
            if values is not None and len(values) != written:
                raise ValueError(f"{len(values)} {name} for {written} completion_token_ids")


class PolicyFailed(Exception):
    """The policy raised, took too long, or returned something else than actions."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause) or repr(cause))
        self.remote_type = type(cause).__name__


@asynccontextmanager
async def acting(
    policy: Policy, batched: bool | None = None, timeout_s: float | None = None
) -> AsyncIterator[Callable[[Any], Awaitable[Any]]]:
    """Yield a coroutine function from observation to action; it raises PolicyFailed.

    `batched` None asks the policy's own attribute of that name. `timeout_s` bounds each call: an
    async policy is cancelled, any other is called on a thread, which is left behind. A policy that
    blocks the event loop although it is async cannot be ended.
    """
    if batched is None:
        batched = bool(getattr(policy, "batched", False))
    async with AsyncExitStack() as stack:
        if timeout_s is not None and not _is_async(policy):
            thread = PolicyThread(policy, timeout_s)
            stack.callback(thread.stop)
            policy, timeout_s = _on_thread(thread, timeout_s), None
        if not batched:
            yield _plain_actor(policy, timeout_s)
            return
        batcher = Batcher(policy, timeout_s)
        stack.push_async_callback(batcher.stop)
        yield batcher.act


@asynccontextmanager
async def acting_by_episode(
    policy: Policy, batched: bool | None = None, timeout_s: float | None = None
) -> AsyncIterator[Callable[[str, int | None], AbstractAsyncContextManager[Act]]]:
    """Yield a function from an episode's id and seed to what `acting` gives, for that episode.

    A policy with a method `for_episode(episode_id, seed)` is asked for one of the episode's own,
    which may remember what it has seen; unless it is batched. Any other plays all episodes.
    """
    is_batched = getattr(policy, "batched", False) if batched is None else batched
    if not is_batched and hasattr(policy, "for_episode"):

        def own(episode_id: str, seed: int | None) -> AbstractAsyncContextManager[Act]:
            try:
                return acting(policy.for_episode(episode_id, seed), False, timeout_s)
            except Exception as error:  # whatever a policy does, only its episode fails
                raise PolicyFailed(error) from error

        yield own
        return
    async with acting(policy, is_batched, timeout_s) as act:
        yield lambda *_: nullcontext(act)


def _is_async(policy: Policy) -> bool:
    return inspect.iscoroutinefunction(policy) or inspect.iscoroutinefunction(
        getattr(policy, "__call__", None)  # noqa: B004 - of an object whose call is async
    )


def _plain_actor(policy: Policy, timeout_s: float | None) -> Callable[[Any], Awaitable[Any]]:
    async def act(observation: Any) -> Any:
        try:
            action = policy(observation)
            if hasattr(action, "__await__"):
                action = await _within(action, timeout_s)
        # A policy may raise anything; only its episode fails.
        except (Exception, asyncio.CancelledError) as error:
            if _is_ending(error):
                raise
            raise PolicyFailed(error) from error
        return action

    return act


def _on_thread(thread: PolicyThread, timeout_s: float) -> Callable[[Any], Awaitable[Any]]:
    async def call(argument: Any) -> Any:
        answer = await thread.call(argument)
        return await _within(answer, timeout_s) if hasattr(answer, "__await__") else answer

    return call


def _is_ending(error: BaseException) -> bool:
    """Whether the error ends the run, rather than the policy's episode alone.

    A CancelledError ends it only if this task was cancelled. Else the policy has raised it, for
    instance because it awaited a task of its own that was cancelled.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    return not isinstance(error, Exception)


async def _within(answer: Awaitable[Any], timeout_s: float | None) -> Any:
    if timeout_s is None:
        return await answer
    try:
        async with asyncio.timeout(timeout_s) as limit:
            return await answer
    except TimeoutError as error:
        if not limit.expired():
            raise  # the policy's own
        raise TimeoutError(f"the policy took longer than {timeout_s} s") from error


class Batcher:
    """Gathers the observations of many episodes into one call of a batched policy."""

    def __init__(self, policy: Policy, timeout_s: float | None = None) -> None:
        self._policy = policy
        self._timeout_s = timeout_s
        self._waiting: list[tuple[Any, asyncio.Future[Any]]] = []
        self._running: asyncio.Task[None] | None = None

    async def act(self, observation: Any) -> Any:
        """Return the policy's action for the observation. Raises PolicyFailed."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((observation, future))
        if self._running is None:
            # The task begins in the next turn of the event loop. By then the observations of all
            # replies of this turn are in `_waiting`, too.
            self._running = asyncio.create_task(self._run(), name="openenv-policy")
        return await future

    async def stop(self) -> None:
        """Cancel the running call, if any, and wait for its end."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._answer(batch)
                # Let the episodes that have their actions step first: their next observations may
                # then be in the next batch.
                await asyncio.sleep(0)
        finally:
            self._running = None

    async def _answer(self, batch: list[tuple[Any, asyncio.Future[Any]]]) -> None:
        try:
            actions = self._policy([observation for observation, _ in batch])
            if hasattr(actions, "__await__"):
                actions = await _within(actions, self._timeout_s)
            _check_count(actions, len(batch))
            for (_, future), action in zip(batch, actions, strict=True):
                if not future.done():
                    future.set_result(action)
        # A policy may raise anything. Only the episodes of this batch fail, and each of them
        # gets an error: none waits for ever.
        except BaseException as error:
            is_ending = _is_ending(error)
            for _, future in batch:
                if not future.done():
                    failure = error if is_ending else PolicyFailed(error)
                    if not is_ending:
                        failure.__cause__ = error
                    future.set_exception(failure)
            if is_ending:
                raise


def _check_count(actions: Any, count: int) -> None:
    """Raise unless there is an action for each observation, in their order."""
    if not hasattr(actions, "__len__") or isinstance(actions, str | bytes | Mapping | Set):
        raise TypeError(f"a batched policy returns a list of actions, not {type(actions).__name__}")
    if len(actions) != count:
        raise ValueError(f"the policy returned {len(actions)} actions for {count} observations")
