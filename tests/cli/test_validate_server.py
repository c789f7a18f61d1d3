"""A good server passes every check; of the others, each fails the one that it should."""

import random
import threading
from collections.abc import Callable
from itertools import count
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import BaseModel, BeforeValidator
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from openenv import GenericEnvClient, create_app
from openenv.cli.validation.report import Report
from openenv.cli.validation.runtime import examine_server
from openenv.environment import Environment
from openenv.errors import ConfigurationError
from openenv.models import State
from tests.environments import Add, Counter, Total
from tests.patience import patient, within
from tests.serving import serving


async def examine(app: Any, **options: Any) -> Report:
    report = Report(target="it", validation_type="running_environment")
    async with serving(app) as url:
        await examine_server(url, report, **{"timeout_s": patient(5), "max_turns": 12, **options})
    return report


def statuses(report: Report) -> dict[str, str]:
    return {criterion.id: criterion.status for criterion in report.criteria}


def failed(report: Report) -> list[str]:
    return [name for name, status in statuses(report).items() if status == "failed"]


class Ending(Counter):
    """Ends after five steps, and again with every one after that."""

    def reset(self, seed: int | None = None) -> Total:
        self.count = 0
        return super().reset(seed)

    def step(self, action: Add) -> Total:
        self.count += 1
        total = super().step(action)
        total.done = self.count >= 5
        return total


async def test_a_good_environment_passes_everything() -> None:
    report = await examine(create_app(Ending))
    assert report.passed
    assert set(statuses(report).values()) == {"passed", "skipped"}
    assert [one.id for one in report.criteria if one.status == "skipped"] == ["mcp_endpoint"]
    assert (report.environment, report.mode) == ("Ending", "simulation")
    assert report.standard_profile == "openenv-http/1.x"


async def test_what_cannot_be_looked_at_is_skipped_with_its_reason() -> None:
    report = await examine(create_app(Counter, max_concurrent_envs=1))
    skipped = {one.id: one.details for one in report.criteria if one.status == "skipped"}
    assert set(skipped) == {"mcp_endpoint", "step_after_done", "sessions_isolated"}
    assert "one session at a time" in skipped["sessions_isolated"]
    assert "no end within 200 steps" in skipped["step_after_done"]
    assert report.passed


async def test_where_anything_is_an_action_none_can_be_refused() -> None:
    class Anything(Environment):
        SUPPORTS_CONCURRENT_SESSIONS = True
        execution = "inline"

        def reset(self) -> dict[str, int]:
            return {}

        def step(self, action: dict[str, int]) -> dict[str, int]:
            return action

    report = await examine(create_app(Anything, dict, dict))
    assert failed(report) == []
    assert statuses(report)["bad_action_refused"] == "skipped"


async def test_sessions_of_others_are_not_driven_out() -> None:
    report = Report(target="it", validation_type="running_environment")
    async with (
        serving(create_app(Counter, max_concurrent_envs=2)) as url,
        GenericEnvClient(url) as env,
    ):
        await env.reset()
        await examine_server(url, report, timeout_s=patient(5), max_turns=3)
        await env.step({"amount": 1})
    assert failed(report) == []
    reason = next(one.details for one in report.criteria if one.id == "sessions_isolated")
    assert reason.startswith("no two sessions at once")


# ---- environments with a fault


class Random(Counter):
    """Whatever the seed is, chance decides."""

    def reset(self, seed: int | None = None) -> Total:
        self.total = random.randrange(1 << 60)
        return Total(self.total)


class Remembering(Counter):
    """Begins where the episode before has ended."""

    def reset(self, seed: int | None = None) -> Total:
        return Total(self.total)


class Sharing(Counter):
    """Has one total for all sessions."""

    kept: ClassVar[list[int]] = [0]

    def reset(self, seed: int | None = None) -> Total:
        self.kept[0] = seed or 0
        return Total(self.kept[0])

    def step(self, action: Add) -> Total:
        self.kept[0] += action.amount
        return Total(self.kept[0], reward=1.0)


class Lying(Counter):
    """Says that the total is an int, and sends a text."""

    def step(self, action: Add) -> Total:
        return Total("many")  # type: ignore[arg-type]


class Bribing(Counter):
    """Rewards with words."""

    def step(self, action: Add) -> Total:
        return Total(1, reward="well done")  # type: ignore[arg-type]


class Done(Counter):
    """Is done before it has begun."""

    def reset(self, seed: int | None = None) -> Total:
        return Total(seed or 0, done=True)


class Immortal(Ending):
    """Goes on after its end."""

    def step(self, action: Add) -> Total:
        total = super().step(action)
        total.done = self.count == 5
        return total


class Raising(Counter):
    """Cannot do anything."""

    def step(self, action: Add) -> Total:
        raise ValueError("no idea how")


class Opaque(Counter):
    """Observes what cannot be sent."""

    def step(self, action: Add) -> Total:
        return Total(object())  # type: ignore[arg-type]


class Tired(Ending):
    """Cannot begin again after its end."""

    def reset(self, seed: int | None = None) -> Total:
        if getattr(self, "count", 0) >= 5:
            raise RuntimeError("no second episode")
        return super().reset(seed)


class Picky(Counter):
    """Raises for some of the actions that its schema allows."""

    def step(self, action: Add) -> Total:
        if action.amount % 2:
            raise ValueError("odd numbers are not for me")
        return super().step(action)


class Miscounting(Counter):
    """Counts no steps."""

    @property
    def state(self) -> State:
        return State(step_count=3)


class Misplaced(Counter):
    """Has a state that does not fit its own class."""

    @property
    def state(self) -> State:
        return State(step_count="few")  # type: ignore[arg-type]


class Anything(BaseModel):
    amount: Annotated[int, BeforeValidator(lambda value: value if isinstance(value, int) else 0)]


class Lenient(Environment[Anything, Total, State]):
    """Takes for an action what its schema forbids."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "inline"

    def reset(self, seed: int | None = None) -> Total:
        return Total(seed or 0)

    def step(self, action: Anything) -> Total:
        return Total(action.amount)


@pytest.mark.parametrize(
    ("environment", "names", "complaint"),
    [
        (Random, ["deterministic_episodes"], "seed 7 plays otherwise in another session"),
        (Remembering, ["deterministic_episodes"], "after another episode: observation of reset"),
        (Sharing, ["sessions_isolated"], "another session changes the episode: observation of"),
        (Lying, ["observation_schema"], "step 1, over WebSocket: at $.total: 'many' is not of"),
        (Bribing, ["websocket_episode"], "which is not a number"),
        (Done, ["reset_after_done"], "reset returns an observation that is done"),
        (Opaque, ["websocket_episode"], "object cannot be encoded"),
        (Tired, ["deterministic_episodes", "reset_after_done"], "no second episode"),
        (Raising, ["websocket_episode"], "every step raised: no idea how"),
        (Miscounting, ["state_endpoint"], "step_count is 3 after reset and 3"),
        (Misplaced, ["state_endpoint"], "at $.step_count: 'few' is not of type"),
        (Lenient, ["bad_action_refused"], "{'amount': 'x'} was not refused"),
    ],
)
async def test_a_fault_of_an_environment_fails_its_check(
    environment: type[Environment], names: list[str], complaint: str
) -> None:
    report = await examine(create_app(environment))
    assert failed(report) == names
    assert not report.passed
    first = next(one for one in report.criteria if one.status == "failed")
    assert complaint in first.details


@pytest.mark.parametrize(
    ("environment", "name", "complaint"),
    [
        (Immortal, "step_after_done", "goes on as if there had been none"),
        (Picky, "drawn_actions_accepted", "steps raised: odd numbers are not for me. Narrow"),
    ],
)
async def test_what_is_only_advisable_does_not_fail_the_whole(
    environment: type[Environment], name: str, complaint: str
) -> None:
    report = await examine(create_app(environment))
    assert failed(report) == [name]
    assert report.passed
    assert complaint in report.issues[0]


async def test_a_check_may_be_left_out() -> None:
    report = await examine(create_app(Random), skipped=["deterministic_episodes"])
    assert failed(report) == []
    assert statuses(report)["deterministic_episodes"] == "skipped"
    assert statuses(report)["sessions_isolated"] == "skipped"


async def test_a_step_that_hangs_is_given_up() -> None:
    gate = threading.Event()

    class Hanging(Counter):
        execution = "thread"

        def step(self, action: Add) -> Total:
            gate.wait(patient(20))
            return Total(0)

    report = Report(target="it", validation_type="running_environment")
    async with serving(create_app(Hanging)) as url:
        try:
            async with within(10):
                await examine_server(url, report, timeout_s=0.3, max_turns=3)
        finally:
            gate.set()
    assert failed(report) == ["websocket_episode"]


async def test_an_environment_that_does_not_let_go_is_found() -> None:
    gate = threading.Event()

    class Clinging(Counter):
        execution = "thread"

        def close(self) -> None:
            gate.wait(patient(20))
            super().close()

    report = Report(target="it", validation_type="running_environment")
    async with serving(create_app(Clinging, max_concurrent_envs=16)) as url:
        try:
            await examine_server(url, report, timeout_s=0.3, max_turns=3)
        finally:
            gate.set()
    assert failed(report) == ["websocket_episode"]
    assert "closing the session took longer than 0.3 s" in report.issues[0]


# ---- servers with a fault


def without(path: str, reply: Callable[..., Response] | None = None) -> Any:
    """A good server, but for the answer to one path (of HTTP, or of its WebSocket)."""
    app = create_app(Ending)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        is_legacy = scope["type"] == "websocket" and not scope["subprotocols"]
        if scope["type"] == "http" and scope["path"] == path:
            # Another route may have the same path, with another method.
            await (reply() if reply else Response(status_code=404))(scope, receive, send)
        elif is_legacy and path == "legacy":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await app(scope, receive, send)

    return answer


_OTHERS: dict[str, Any] = {"observation": {}, "state": {}}


def openapi(*paths: str, version: Any = "1.0.0") -> Callable[..., Response]:
    return lambda: JSONResponse(
        {"info": {"version": version}, "paths": {path: {} for path in paths}}
    )


@pytest.mark.parametrize(
    ("app", "names", "complaint"),
    [
        (without("/openapi.json"), ["openapi_version_available"], "status_code is 404"),
        (
            without("/openapi.json", openapi(version=None)),
            ["openapi_version_available"],
            "info.version is None",
        ),
        (
            without("/openapi.json", openapi("/reset", "/step")),
            ["mode_endpoint_consistency"],
            "/state is False",
        ),
        (
            without("/health", lambda: JSONResponse({"status": "degraded"})),
            ["health_endpoint", "close_frees_slot"],
            "status is 'degraded'",
        ),
        (
            without("/metadata", lambda: JSONResponse({"name": "x"})),
            ["metadata_endpoint"],
            "description is None",
        ),
        (
            without("/schema", lambda: JSONResponse({"action": {}})),
            ["schema_endpoint"],
            "has_observation is False",
        ),
        (
            without("/schema", lambda: JSONResponse({"action": {"properties": 7}, **_OTHERS})),
            ["schema_endpoint", "websocket_episode"],
            "no form known here",
        ),
        (without("/mcp", lambda: JSONResponse({})), ["mcp_endpoint"], "jsonrpc is None"),
        (without("/step"), ["http_episode"], "404: no message"),
        (without("legacy"), ["legacy_episode"], "HTTP 403"),
    ],
)
async def test_a_fault_of_a_server_fails_its_check(
    app: Any, names: list[str], complaint: str
) -> None:
    report = await examine(app)
    assert failed(report) == names
    assert complaint in report.issues[0]


async def test_without_schemas_no_episode_is_played() -> None:
    report = await examine(without("/schema"))
    assert statuses(report)["websocket_episode"] == "skipped"
    assert statuses(report)["close_frees_slot"] == "skipped"


async def test_a_server_that_keeps_closed_sessions_is_found() -> None:
    more = count()
    answer = lambda: JSONResponse({"status": "healthy", "active_sessions": next(more)})  # noqa: E731
    report = await examine(without("/health", answer), timeout_s=0.5)
    assert failed(report) == ["close_frees_slot"]
    assert "after it was closed" in report.issues[0]


async def test_an_mcp_endpoint_that_answers_is_required() -> None:
    answer = lambda: JSONResponse({"jsonrpc": "2.0", "id": None, "error": {}})  # noqa: E731
    report = await examine(without("/mcp", answer))
    assert statuses(report)["mcp_endpoint"] == "passed"


async def test_a_server_that_is_none_fails_everything_it_is_asked() -> None:
    report = await examine(Starlette(routes=[Route("/", lambda _: Response())]))
    assert not report.passed
    assert failed(report) == [
        "openapi_version_available",
        "health_endpoint",
        "metadata_endpoint",
        "schema_endpoint",
    ]


async def test_where_nobody_answers_that_is_said() -> None:
    report = Report(target="it", validation_type="running_environment")
    await examine_server("http://127.0.0.1:9", report, timeout_s=1, max_turns=1)
    assert "Connection refused" in report.issues[0]


@pytest.mark.parametrize("url", ["unix:/tmp/x.sock", "ftp://127.0.0.1"])
async def test_what_is_no_url_of_a_server_is_said(url: str) -> None:
    report = Report(target="it", validation_type="running_environment")
    with pytest.raises(ConfigurationError):
        await examine_server(url, report, timeout_s=1, max_turns=1)
