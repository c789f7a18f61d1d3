"""Stand-ins for what a server's objects are given: a clock, an origin, a session, deadlines."""

import asyncio
from collections.abc import Callable
from typing import Any

from openenv.protocol.frames import Error
from openenv.server.ports import Expirable
from tests.patience import within


class FakeTimer:
    def __init__(self, at_s: float, call: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.at_s, self.call, self.arguments = at_s, call, arguments
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class FakeLoop:
    """An event loop whose clock only moves when it is told to."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.timers: list[FakeTimer] = []

    def time(self) -> float:
        return self.now_s

    def call_later(self, pause_s: float, call: Callable[..., Any], *arguments: Any) -> FakeTimer:
        self.timers.append(FakeTimer(self.now_s + pause_s, call, arguments))
        return self.timers[-1]

    @property
    def is_ticking(self) -> bool:
        return any(not timer.is_cancelled for timer in self.timers)

    def run_for(self, time_s: float) -> None:
        """Let time pass, and run the timers that are due, in order."""
        end_s = self.now_s + time_s
        while due := [t for t in self.timers if t.at_s <= end_s and not t.is_cancelled]:
            timer = min(due, key=lambda timer: timer.at_s)
            self.timers.remove(timer)
            self.now_s = timer.at_s
            timer.call(*timer.arguments)
        self.now_s = end_s


class FakeDeadlines:
    """Remembers deadlines by their length; nothing expires unless the test says so."""

    def __init__(self) -> None:
        self.now_s = 5.0
        self.pending: dict[Any, float] = {}

    def set(self, target: Expirable, timeout_s: float) -> None:
        self.pending[target] = timeout_s

    def bring_forward(self, target: Expirable, timeout_s: float) -> None:
        self.pending[target] = min(timeout_s, self.pending.get(target, timeout_s))

    def clear(self, target: Expirable) -> None:
        self.pending.pop(target, None)

    def pop(self, target: Expirable) -> float | None:
        return self.pending.pop(target, None)

    def expire(self, target: Expirable) -> None:
        """The deadline of this target passes; it must have one."""
        del self.pending[target]
        target.expire_deadline()


class FakeOrigin:
    """Collects the replies; `room` is what a stream has to wait for."""

    def __init__(self, encoding: Any = "msgpack", *, is_lenient: bool = False) -> None:
        self.encoding = encoding
        self.is_lenient = is_lenient
        self.replies: list[Any] = []
        self.room: asyncio.Future[None] | None = None

    def reply(self, frame: Any) -> None:
        self.replies.append(frame)

    def until_room(self) -> asyncio.Future[None] | None:
        return self.room

    @property
    def codes(self) -> list[str]:
        return [reply.code for reply in self.replies if isinstance(reply, Error)]


class FakeHolder(FakeOrigin):
    """A link that has a session open."""

    def __init__(self, *, is_live: bool = True) -> None:
        super().__init__()
        self.is_live = is_live
        self.ended: list[str] = []

    def session_ended(self, session: Any, reason: str) -> None:
        self.ended.append(reason)

    def session_taken_over(self, session: Any) -> None: ...


class FakeSession:
    """What a runner knows of its session; `reply` waits for the next one."""

    token = "token"

    def __init__(self) -> None:
        self.needs_reset = False
        self.replies: list[Any] = []
        self.partials: list[Any] = []
        self.expirations = 0
        self._changed = asyncio.Event()

    def expire_deadline(self) -> None:
        self.expirations += 1

    def complete(self, runner: Any, request: Any, origin: Any, reply: Any) -> None:
        self.replies.append(reply)
        self._changed.set()

    def emit(self, origin: Any, partial: Any) -> None:
        self.partials.append(partial)
        self._changed.set()

    async def reply(self) -> Any:
        """Return the oldest reply that was not returned yet."""
        await self.until(lambda: bool(self.replies))
        return self.replies.pop(0)

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with within(10):
            while not is_so():
                self._changed.clear()
                await self._changed.wait()
