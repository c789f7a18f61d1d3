"""The errors for a container that did not become ready: how it ended, and the end of its log.

Reads containers and never changes them; docker.py raises the errors and removes the container.
"""

from __future__ import annotations

from typing import Any

from openenv.errors import StartupFailed, StartupTimeout
from openenv.providers.docker_cleanup import IMAGE_LABEL
from openenv.providers.health import health_status

LOG_LINES = 20
"How many of the last lines of a container's log an error shows."


def has_ended(container: Any) -> bool:
    """Return whether a container has ended, and is not being restarted by Docker."""
    return container.attrs["State"]["Status"] in ("exited", "dead", "removing")


def how_it_ended(container: Any) -> str:
    """Return how a container has ended, for a message."""
    state, limit = container.attrs["State"], container.attrs["HostConfig"]["Memory"]
    why = str(state.get("Error") or f"exit code {state['ExitCode']}")
    if state["OOMKilled"]:
        why += f"; it was out of memory ({limit / 2**20:.0f} MiB), give it more with memory="
    return why


def ended(container: Any) -> StartupFailed:
    """Return the error for a container that ended before its server answered."""
    state, lines = container.attrs["State"], _last_lines(container)
    code, out_of_memory = state["ExitCode"], state["OOMKilled"]
    why = how_it_ended(container)
    if not out_of_memory and ("not permitted" in lines or "ermission denied" in lines):
        why += "; it runs without capabilities, and cap_add= gives it some"
    return StartupFailed(
        f"the container of {_image_name(container)} ended before its server answered: "
        f"{why}{_log(lines)}",
        exit_code=code,
        out_of_memory=out_of_memory,
        last_lines=lines,
    )


def unhealthy(container: Any) -> StartupFailed:
    """Return the error for a container whose HEALTHCHECK fails."""
    lines = _last_lines(container)
    checks = container.attrs["State"]["Health"].get("Log") or [{}]
    said = str(checks[-1].get("Output", "")).strip() or "no output"
    return StartupFailed(
        f"the server of {_image_name(container)} does not answer, and the image's own HEALTHCHECK "
        f"fails: {said}{_log(lines)}",
        last_lines=lines,
    )


def too_late(container: Any, base_url: str, timeout_s: float) -> StartupTimeout:
    """Return the error for a container whose server has not answered in time."""
    status, lines = health_status(base_url), _last_lines(container)
    said = "nobody answers" if status is None else f"it answers {status}"
    return StartupTimeout(
        f"the server of {_image_name(container)} was not ready within {timeout_s:g} s: "
        f"{said} at {base_url}/health{_inside(container)}{_log(lines)}",
        last_lines=lines,
    )


def _last_lines(container: Any) -> str:
    from docker.errors import APIError  # noqa: PLC0415 - the SDK is slow to import

    try:
        log: bytes = container.logs(tail=LOG_LINES)
    except APIError as error:  # some of Docker's logging drivers cannot be read
        return f"(no log: {error.explanation})"
    return log.decode(errors="replace").strip()


def _log(lines: str) -> str:
    return f"\nthe end of its log:\n{lines}" if lines else "\nits log is empty"


def _image_name(container: Any) -> str:
    return str(container.labels.get(IMAGE_LABEL) or container.attrs["Config"]["Image"])


def _inside(container: Any) -> str:
    ports = ", ".join(container.attrs["HostConfig"]["PortBindings"] or {})
    if not ports:
        return ", the socket that OPENENV_UDS names inside; `openenv serve` listens there"
    return f", which is {ports} inside; container_port= is for another"
