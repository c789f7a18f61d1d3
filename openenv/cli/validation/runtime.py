"""A server as it plays: which checks there are, in which order, and what becomes of each.

The checks themselves are in endpoints.py (what it says of itself) and episodes.py (what it does).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple

from openenv.cli.validation.endpoints import Endpoints
from openenv.cli.validation.episodes import Episodes
from openenv.cli.validation.http import JsonCaller
from openenv.cli.validation.report import CheckFailed, Criterion, NotApplicable
from openenv.errors import OpenEnvError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from openenv.cli.validation.report import Report

logger = logging.getLogger("openenv.cli")


class Check(NamedTuple):
    """A criterion before it has been looked at."""

    id: str
    description: str
    look: Callable[[], Awaitable[str]]
    required: bool = True


async def examine_server(
    url: str,
    report: Report,
    *,
    timeout_s: float,
    max_turns: int,
    skipped: Collection[str] = (),
    tell: Callable[[str], object] = lambda _: None,
) -> None:
    """Look at a running server and add what is found to the report.

    `timeout_s` bounds each request, `max_turns` each episode; the checks named in `skipped` are
    left out. `tell` is told which one begins.
    """
    endpoints = Endpoints(JsonCaller(url, timeout_s))
    for check in _endpoint_checks(endpoints):
        tell(check.id)
        report.criteria.append(await _looked(check, timeout_s, skipped))
    if endpoints.version is not None:
        report.standard_version = endpoints.version
        report.standard_profile = f"openenv-http/{endpoints.version.partition('.')[0]}.x"
    report.mode = endpoints.mode
    report.environment = report.environment or endpoints.name
    episodes = Episodes(url, endpoints, timeout_s=timeout_s, max_turns=max_turns)
    for check in _episode_checks(episodes):
        tell(check.id)
        # An episode is many requests, none of which may take longer than that.
        limit_s = timeout_s * (max_turns + 10)
        report.criteria.append(await _looked(check, limit_s, skipped))


def _endpoint_checks(endpoints: Endpoints) -> list[Check]:
    return [
        Check(
            "openapi_version_available",
            "GET /openapi.json returns OpenAPI info.version",
            endpoints.check_openapi,
        ),
        Check("health_endpoint", "GET /health returns healthy status", endpoints.check_health),
        Check(
            "metadata_endpoint",
            "GET /metadata returns name and description",
            endpoints.check_metadata,
        ),
        Check(
            "schema_endpoint",
            "GET /schema returns action, observation, and state schemas",
            endpoints.check_schema,
        ),
        Check(
            "mcp_endpoint",
            "POST /mcp is reachable and returns JSON-RPC payload",
            endpoints.check_mcp,
        ),
        Check(
            "mode_endpoint_consistency",
            "OpenAPI endpoint set matches OpenEnv mode contract",
            endpoints.check_mode,
        ),
    ]


def _episode_checks(episodes: Episodes) -> list[Check]:
    return [
        Check("websocket_episode", "an episode can be played over WebSocket", episodes.over_ws),
        Check(
            "drawn_actions_accepted",
            "no action that fits the schema makes the environment raise",
            episodes.without_faults,
            required=False,
        ),
        Check(
            "deterministic_episodes",
            "the same seed and actions make the same episode, in any session",
            episodes.twice,
        ),
        Check("legacy_episode", "existing clients can play an episode", episodes.over_legacy),
        Check("http_episode", "an episode can be played over HTTP", episodes.over_http),
        Check("observation_schema", "every observation fits its schema", episodes.observations_fit),
        Check("reward_values", "every reward is a number, or null", episodes.rewards_fit),
        Check("state_endpoint", "the state fits its schema and counts steps", episodes.state_fits),
        Check("reset_after_done", "after its end, reset begins anew", episodes.reset_after_end),
        Check(
            "step_after_done",
            "a step after the end is an error, or the end again",
            episodes.step_after_end,
            required=False,
        ),
        Check(
            "bad_action_refused",
            "what is no action is refused, and the session lives on",
            episodes.bad_action,
        ),
        Check("sessions_isolated", "sessions at once share nothing", episodes.side_by_side),
        Check("close_frees_slot", "closing a session frees its place", episodes.close_frees),
    ]


async def _looked(check: Check, limit_s: float, skipped: Collection[str]) -> Criterion:
    criterion = Criterion(
        id=check.id, description=check.description, status="passed", required=check.required
    )
    if check.id in skipped:
        criterion.status, criterion.details = "skipped", "left out, as asked"
        return criterion
    try:
        async with asyncio.timeout(limit_s):
            criterion.details = await check.look()
    except NotApplicable as reason:
        criterion.status, criterion.details = "skipped", str(reason)
    except CheckFailed as failure:
        criterion.status, criterion.details = "failed", str(failure)
        criterion.expected, criterion.actual = failure.expected, failure.actual
    except TimeoutError as error:
        message = str(error) or f"took longer than {limit_s:.0f} s"
        criterion.status, criterion.details = "failed", message
    except OpenEnvError as error:
        criterion.status, criterion.details = "failed", str(error)
        criterion.actual = {"error": error.code}
    except Exception as error:  # a check's boundary: nothing that a server sends ends the report
        logger.debug("%s", check.id, exc_info=True)
        criterion.status = "failed"
        criterion.details = f"what the server sends is in no form known here ({error!r})"
    return criterion
