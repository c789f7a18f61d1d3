"""Instance: one environment, called as a session calls it, but from blocking code.

There is no server, queue or wire, so the environment's exceptions reach the caller. The session of
a server is server/sessions/session.py.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, Self

from openenv.codec import plain
from openenv.protocol.frames import Reset
from openenv.protocol.wire import MSGPACK
from openenv.server.runners.spec import EnvironmentSpec

if TYPE_CHECKING:
    from collections.abc import Callable


class Instance:
    """Calls an environment that `make` returns, on an event loop of its own.

    `with` closes the environment and the loop.

    The payload classes are those of create_app: action, observation, state.
    """

    def __init__(self, make: Callable[[], Any], *payload_classes: Any) -> None:
        self._runner = asyncio.Runner()
        self._is_closed = False
        try:
            environment = self._run(make)
            self.spec = EnvironmentSpec(make, environment, *payload_classes)
            self._bound = self.spec.bind(environment)
        except BaseException:
            self._runner.close()
            raise

    @property
    def environment(self) -> Any:
        """The environment itself."""
        return self._bound.environment

    @property
    def step_count(self) -> int:
        """How many steps of the episode have returned."""
        return self._bound.episode.step_count

    def reset(self, seed: int | None = None, episode_id: str | None = None) -> Any:
        """Begin an episode."""
        frame = Reset(1, 1, seed, episode_id)
        arguments = self.spec.convention.reset_arguments(frame, lenient=False)
        self._bound.begin_episode(episode_id)
        return self._run(self._bound.reset, **arguments)

    def step(self, action: Any) -> Any:
        """Apply an action, which may be plain data; return the last value of a streaming step."""
        action = self.spec.replies.action.convert(plain(action))
        observation = self._run(self._bound.step, action)
        self._bound.episode.step_count += 1
        return observation

    def call(self, method: str, *arguments: Any) -> Any:
        """Call another method of the environment."""
        return self._run(getattr(self._bound.environment, method), *arguments)

    @property
    def state(self) -> Any:
        """The episode's state."""
        return self._run(self._bound.read_state)

    def payload(self, observation: Any) -> Any:
        """Return the encoded observation, without reward, done and the other step fields."""
        return MSGPACK.encode(self.spec.replies.result(1, observation).observation)

    def close(self) -> None:
        """Close the environment; later calls do nothing."""
        if not self._is_closed:
            self._is_closed = True
            self._run(self._bound.close)

    def __enter__(self) -> Self:
        """Return the instance, which is ready."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the environment and the event loop."""
        with self._runner:
            self.close()

    def _run(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        return self._runner.run(_outcome(call, *arguments, **options))


async def _outcome(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return the result of a call: awaited, or the last value of a generator."""
    value = call(*arguments, **options)
    if inspect.isasyncgen(value):
        return [item async for item in value][-1]
    if inspect.isawaitable(value):
        value = await value
    return list(value)[-1] if inspect.isgenerator(value) else value
