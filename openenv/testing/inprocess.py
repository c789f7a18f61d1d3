"""Instance: one environment, called as a session calls it, but from blocking code.

No server, queue or wire: what the environment raises, the caller gets. server/sessions/session.py
has the real thing.
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
    """Made by `make`, on an event loop of its own; closed, with the loop, by `with`.

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
        """Apply an action, which may be plain data; of a step that streams, the last value."""
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
        """Return the bytes of an observation, without what travels beside it."""
        return MSGPACK.encode(self.spec.replies.result(1, observation).observation)

    def close(self) -> None:
        """Close the environment, the first time."""
        if not self._is_closed:
            self._is_closed = True
            self._run(self._bound.close)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        with self._runner:
            self.close()

    def _run(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        return self._runner.run(_outcome(call, *arguments, **options))


async def _outcome(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return what a call comes to."""
    value = call(*arguments, **options)
    if inspect.isasyncgen(value):
        return [item async for item in value][-1]
    if inspect.isawaitable(value):
        value = await value
    return list(value)[-1] if inspect.isgenerator(value) else value
