"""SessionRegistry: from its start to its end, and what the sweep ends in between."""

import asyncio
import threading
from typing import Any, ClassVar

import pytest

from openenv.environment import Environment
from openenv.errors import ConfigurationError, ServerClosing, SessionNotFoundError
from openenv.protocol.frames import Close, Closed, Open, Opened, Reset, Result, Step
from openenv.server.config import ServerConfig
from openenv.server.host import make_registry
from openenv.server.sessions.registry import IDLE_SWEEP_S, SessionRegistry
from openenv.server.sessions.session import Session
from openenv.server.sessions.states import SessionState
from tests.patience import patient, within
from tests.server.fakes import FakeHolder, FakeLoop, FakeOrigin


class Inline(Environment[Any, Any, Any]):
    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "inline"

    def reset(self) -> dict[str, Any]:
        return {}

    def step(self, action: Any) -> dict[str, Any]:
        return {}


class Gated(Inline):
    """Its steps and its close wait on a thread until the gate is open."""

    execution = "thread"
    gate: ClassVar[threading.Event]
    began: ClassVar[threading.Event]
    hangs_in: ClassVar[str]

    def step(self, action: Any) -> dict[str, Any]:
        self._pass("step")
        return {}

    def close(self) -> None:
        self._pass("close")

    def _pass(self, name: str) -> None:
        if name == self.hangs_in:
            self.began.set()
            self.gate.wait(patient(10))


def gated(hangs_in: str) -> type[Gated]:
    gates = {"gate": threading.Event(), "began": threading.Event(), "hangs_in": hangs_in}
    return type("Gated", (Gated,), gates)


class FakeLink:
    """A native link, as the registry knows it."""

    has_unsent: Any = False

    def __init__(self, token: str, *, is_expired: bool = False) -> None:
        self.token = token
        self.ended: list[str] = []
        self._is_expired = is_expired

    def is_expired(self, now_s: float) -> bool:
        return self._is_expired

    def end(self, reason: str = "") -> None:
        self.ended.append(reason)


class Replies(FakeOrigin):
    """An origin whose replies can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._came: asyncio.Queue[Any] = asyncio.Queue()

    def reply(self, frame: Any) -> None:
        super().reply(frame)
        self._came.put_nowait(frame)

    async def next(self) -> Any:
        async with within(10):
            return await self._came.get()


def opened(registry: SessionRegistry, *, holder: FakeHolder | None = None) -> Session:
    """A session of an inline environment: it is open and reset when this returns."""
    session, origin = registry.open(), FakeOrigin()
    session.holder = holder
    session.open(Open(1, 1), origin)
    session.submit(Reset(2, 1), origin)
    assert [type(reply) for reply in origin.replies] == [Opened, Result]
    return session


async def reset_on_thread(registry: SessionRegistry, wait_s: float = 0.0) -> tuple[Any, Replies]:
    session, origin = registry.open(), Replies()
    session.open(Open(1, 1, wait_s), origin)
    assert type(await origin.next()) is Opened
    session.submit(Reset(2, 1), origin)
    assert type(await origin.next()) is Result
    return session, origin


# ---- life


class Workers:
    """The worker processes of a server, which start or do not."""

    health = "healthy"

    def __init__(self, *, can_start: bool = True) -> None:
        self.log: list[str] = []
        self._can_start = can_start

    async def start(self) -> None:
        self.log.append("start")
        if not self._can_start:
            raise ConfigurationError("none could be started")

    async def aclose(self) -> None:
        self.log.append("close")


async def test_starting_twice_changes_nothing() -> None:
    registry, workers = make_registry(Inline), Workers()
    registry.workers = workers  # type: ignore[assignment]
    await registry.start()
    tasks = asyncio.all_tasks()
    await registry.start()
    assert asyncio.all_tasks() == tasks
    assert workers.log == ["start"]
    await registry.aclose()
    assert workers.log == ["start", "close"]


def test_a_server_lives_on_one_event_loop_at_a_time() -> None:
    registry = make_registry(Inline)
    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(registry.start())
        with pytest.raises(ConfigurationError):
            second.run(registry.start())
        first.run(registry.aclose())
        second.run(registry.start())
        assert registry.health == "healthy"
        second.run(registry.aclose())


async def test_a_server_that_has_never_started_ends_at_once() -> None:
    async with within(5):
        await make_registry(Inline).aclose()


async def test_closing_ends_sessions_and_links() -> None:
    registry = make_registry(Inline)
    await registry.start()
    holder, link = FakeHolder(), FakeLink("link")
    registry.add_link(link)
    session = opened(registry, holder=holder)
    await registry.aclose("enough")
    assert session.is_ended
    assert holder.ended == ["enough"]
    assert len(link.ended) == 1
    assert (registry.sessions, registry.active) == ({}, 0)


async def test_closing_leaves_an_environment_behind_whose_close_hangs() -> None:
    environment = gated("close")
    registry = make_registry(environment, config=ServerConfig(close_timeout_s=0.05))
    await registry.start()
    session, _ = await reset_on_thread(registry)
    async with within(10):
        await registry.aclose()
    assert environment.began.is_set()
    assert session.is_ended
    assert registry.hung_threads == 1
    assert not registry.sessions
    environment.gate.set()


async def test_closing_interrupts_an_async_close_that_hangs() -> None:
    log: list[str] = []

    class Hanging(Inline):
        async def close(self) -> None:  # type: ignore[override]
            try:
                await asyncio.Event().wait()
            finally:
                log.append("cancelled")

    registry = make_registry(Hanging, config=ServerConfig(close_timeout_s=0.05))
    await registry.start()
    await reset_on_thread(registry)
    async with within(10):
        await registry.aclose()
    assert log == ["cancelled"]
    assert not registry.sessions


async def test_a_drain_waits_for_the_running_call_and_takes_no_new_session() -> None:
    environment = gated("step")
    registry = make_registry(environment)
    await registry.start()
    session, origin = await reset_on_thread(registry)
    session.submit(Step(3, 1, b"\x80"), origin)
    await asyncio.to_thread(environment.began.wait, 10)
    async with within(10):
        draining = asyncio.create_task(registry.drain("going down"))
        await asyncio.sleep(0)
        with pytest.raises(ServerClosing):
            registry.open()
        assert registry.health == "unhealthy"
        assert len(origin.replies) == 2
        environment.gate.set()
        assert type(await origin.next()) is Result
        await draining
    assert session.is_ended
    await registry.aclose()
    assert registry.health == "healthy"


async def test_a_drain_refuses_who_waits_for_a_slot_before_it_frees_any() -> None:
    registry = make_registry(Inline, max_concurrent_envs=1)
    await registry.start()
    first = opened(registry)
    waiting, origin = registry.open(), FakeOrigin()
    waiting.open(Open(1, 1, 60.0), origin)
    await registry.drain()
    assert origin.codes == ["SERVER_CLOSING"]
    assert waiting.is_ended
    assert first.is_ended
    await registry.aclose()


async def test_a_drain_waits_for_replies_that_are_on_their_way() -> None:
    class Slow(FakeLink):
        looks = 0

        @property
        def has_unsent(self) -> bool:
            self.looks += 1
            return self.looks < 3

    registry, link = make_registry(Inline), Slow("link")
    await registry.start()
    registry.add_link(link)
    async with within(10):
        await registry.drain()
    assert link.looks == 3
    await registry.aclose()


# ---- sessions


def test_a_session_is_found_by_its_token_until_it_has_ended() -> None:
    registry = make_registry(Inline)
    session = opened(registry)
    assert registry.find(session.token) is session
    assert (registry.active, session.has_slot) == (1, True)
    session.submit(Close(3, 1), FakeOrigin())
    assert registry.active == 0
    with pytest.raises(SessionNotFoundError):
        registry.find(session.token)


def test_tokens_do_not_repeat() -> None:
    registry = make_registry(Inline)
    assert len({registry.new_token() for _ in range(100)}) == 100


def test_the_session_of_a_shared_instance_can_be_had_once() -> None:
    registry = make_registry(Inline())
    assert registry.shared is registry.unheld_shared() is None
    session = opened(registry)
    assert registry.shared is registry.unheld_shared() is session
    session.holder = FakeHolder()
    assert registry.shared is session
    assert registry.unheld_shared() is None


def test_a_class_has_no_shared_session() -> None:
    registry = make_registry(Inline)
    opened(registry)
    assert registry.shared is None
    assert registry.unheld_shared() is None


# ---- the sweep


@pytest.mark.parametrize(
    ("session_timeout_s", "idle_timeout_s", "is_live", "idle_s", "ends"),
    [
        # Without a live holder the timeout of sessions applies...
        (10.0, None, None, 11.0, True),
        (10.0, None, None, 9.0, False),
        (10.0, None, False, 11.0, True),
        # ... and with one it does not.
        (10.0, None, True, 1000.0, False),
        # The other timeout always applies.
        (None, 10.0, True, 11.0, True),
        (None, 10.0, True, 9.0, False),
        (None, 10.0, None, 11.0, True),
        (60.0, 10.0, None, 11.0, True),
        (None, None, None, 1000.0, False),
    ],
)
def test_the_sweep_ends_sessions_that_are_idle_for_too_long(
    session_timeout_s: float | None,
    idle_timeout_s: float | None,
    is_live: bool | None,
    idle_s: float,
    ends: bool,
) -> None:
    config = ServerConfig(session_timeout_s=session_timeout_s, idle_timeout_s=idle_timeout_s)
    registry = make_registry(Inline, config=config)
    holder = None if is_live is None else FakeHolder(is_live=is_live)
    session = opened(registry, holder=holder)
    session.touched_at_s = 5000.0 - idle_s
    needs_more = registry.sweep(5000.0)
    assert session.is_ended is ends
    assert needs_more is not ends


def test_a_session_may_have_a_limit_of_its_own_while_no_live_link_holds_it() -> None:
    registry = make_registry(Inline)
    short, held = opened(registry), opened(registry, holder=FakeHolder())
    short.idle_limit_s = held.idle_limit_s = 2.0
    registry.sweep(100.0)
    assert short.is_ended
    assert not held.is_ended


def test_a_session_that_waits_for_a_slot_is_not_idle() -> None:
    config = ServerConfig(idle_timeout_s=1.0, max_concurrent_envs=1)
    registry = make_registry(Inline, config=config)
    loop: Any = FakeLoop()
    registry._deadlines.start(loop)
    first, waiting = opened(registry), registry.open()
    waiting.open(Open(1, 1, 60.0), FakeOrigin())
    loop.run_for(1.3)
    assert first.is_ended
    assert waiting.has_slot
    assert not waiting.is_ended


async def test_a_session_whose_call_runs_is_not_idle() -> None:
    environment = gated("step")
    registry = make_registry(environment, config=ServerConfig(idle_timeout_s=1.0))
    await registry.start()
    session, origin = await reset_on_thread(registry)
    session.submit(Step(3, 1, b"\x80"), origin)
    session.touched_at_s = 0.0
    registry.sweep(registry.now_s + 1000.0)
    assert session.state is SessionState.RUNNING
    environment.gate.set()
    assert type(await origin.next()) is Result
    await registry.aclose()


@pytest.mark.parametrize(("timeout_s", "period_s"), [(900.0, IDLE_SWEEP_S), (2.0, 0.5)])
def test_idle_sessions_are_looked_for_as_often_as_their_limit_asks(
    timeout_s: float, period_s: float
) -> None:
    registry = make_registry(Inline, config=ServerConfig(session_timeout_s=timeout_s))
    registry.sweep(10_000.0)
    session = opened(registry)
    session.touched_at_s = 0.0
    registry.sweep(10_000.0 + 0.9 * period_s)
    assert not session.is_ended
    registry.sweep(10_000.0 + period_s)
    assert session.is_ended


def test_the_sweep_ends_links_whose_client_stays_away() -> None:
    registry = make_registry(Inline)
    expired, waiting = FakeLink("a", is_expired=True), FakeLink("b")
    registry.add_link(expired)
    registry.add_link(waiting)
    assert registry.sweep(1.0)
    assert len(expired.ended) == 1
    assert not waiting.ended
    registry.remove_link(expired)
    registry.remove_link(waiting)
    assert not registry.sweep(2.0)


# ---- health


async def test_hung_threads_make_a_server_degraded_and_then_unhealthy() -> None:
    environment = gated("step")
    config = ServerConfig(max_concurrent_envs=2, close_timeout_s=0.05, step_timeout_s=0.05)
    registry = make_registry(environment, config=config)
    await registry.start()
    for health in ("degraded", "unhealthy"):
        session, origin = await reset_on_thread(registry)
        session.submit(Step(3, 1, b"\x80"), origin)
        assert (await origin.next()).code == "STEP_TIMEOUT"
        assert registry.health == health
    environment.gate.set()
    await registry.aclose()


@pytest.mark.parametrize("health", ["healthy", "degraded", "unhealthy"])
def test_a_server_with_workers_is_as_healthy_as_these(health: str) -> None:
    registry, workers = make_registry(Inline), Workers()
    registry.workers = workers  # type: ignore[assignment]
    workers.health = health
    assert registry.health == health
    registry.is_draining = True
    assert registry.health == "unhealthy"


async def test_a_start_that_finds_no_worker_ends_the_server_again() -> None:
    registry, workers = make_registry(Inline), Workers(can_start=False)
    registry.workers = workers  # type: ignore[assignment]
    with pytest.raises(ConfigurationError):
        await registry.start()
    assert workers.log == ["start", "close"]
    registry.workers = None
    await registry.start()
    await registry.aclose()


def test_a_close_is_answered_with_the_session_s_end() -> None:
    registry, origin = make_registry(Inline), FakeOrigin()
    session = opened(registry)
    session.submit(Close(3, 1), origin)
    assert [type(reply) for reply in origin.replies] == [Closed]
