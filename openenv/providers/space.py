"""SpaceProvider: finds an environment's server that runs as a Space of Hugging Face.

A sleeping Space is woken, but a Space belongs to its owner, so it is never started or stopped.
Knows nothing of clients. hub_api.py has the hub's API.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

from openenv.errors import ConfigurationError, ProviderError, StartupFailed, StartupTimeout
from openenv.providers.base import Endpoint, Provider, in_thread
from openenv.providers.health import health_status
from openenv.providers.hub_api import endpoint, hub_api, space_id

WAKE_TIMEOUT_S = 300.0
"How long a Space may take to answer: a sleeping one has to start first, maybe on a new machine."

_WAKES = ("SLEEPING",)
_STARTS = ("BUILDING", "RUNNING_BUILDING", "APP_STARTING", "RUNNING_APP_STARTING")
_REMEDIES = {
    "PAUSED": "its owner has paused it, and alone can restart it",
    "STOPPED": "its owner can restart it",
    "BUILD_ERROR": "its image cannot be built: its page shows the log",
    "RUNTIME_ERROR": "its server has ended: its page shows the log",
    "CONFIG_ERROR": "the front matter of its README is wrong",
    "NO_APP_FILE": "it holds nothing to run",
    "DELETING": "it is being deleted",
}


class SpaceProvider(Provider):
    """Finds the server of a Space, `org/name`.

    `token` is a token of Hugging Face; the default is that of the login. It is sent to the Space
    itself only if the Space is private, because its owner decides what runs there.
    """

    def __init__(self, space: str | None = None, *, token: str | None = None) -> None:
        """Keep the Space's id; `start` is the first call that needs the hub."""
        self._space = space
        self._token = token
        self._is_cancelled = threading.Event()

    def start(self, space: str | None = None, *, timeout_s: float = WAKE_TIMEOUT_S) -> Endpoint:
        """Return the endpoint of a Space's server, as soon as it answers.

        Raises ConfigurationError if there is no such Space, StartupFailed if it cannot run, and
        StartupTimeout.
        """
        name = _checked(self._space if space is None else space)
        deadline = time.monotonic() + timeout_s
        with hub_api(name, self._token) as api:
            info = api.space_info(name)
            url = info.host or f"https://{info.subdomain}.hf.space"
            headers = {"Authorization": f"Bearer {_token(api)}"} if info.private else {}
            stage = info.runtime.stage if info.runtime else "RUNNING"
            while True:
                if stage in _REMEDIES:
                    raise StartupFailed(f"the Space {name} does not run: {_REMEDIES[stage]}")
                # A request to its server wakes a sleeping Space.
                status = health_status(url, headers=headers)
                if status == 200 and stage not in _STARTS + _WAKES:
                    return Endpoint(url, headers)
                if time.monotonic() > deadline:
                    raise _too_late(name, stage, url, status, timeout_s)
                if self._is_cancelled.wait(1.0 if timeout_s > 10 else 0.05):
                    raise ProviderError(f"waiting for the Space {name} was given up")
                stage = api.get_space_runtime(name).stage

    async def open(self, *what: Any, timeout_s: float = WAKE_TIMEOUT_S, **options: Any) -> Endpoint:
        """Find a Space's server: `open("org/name")`."""
        if options:
            names = ", ".join(options)
            raise ConfigurationError(
                f"a Space runs as its owner has set it up, so it takes no {names}: "
                "openenv fork makes one of your own"
            )
        self._is_cancelled.clear()
        start = partial(self.start, *what, timeout_s=timeout_s)
        return await in_thread(start, on_cancel=self._is_cancelled.set)

    def stop(self) -> None:
        """Do nothing: a Space that nobody uses falls asleep by itself."""

    async def aclose(self) -> None:
        """Do nothing: a Space that nobody uses falls asleep by itself."""


def _checked(space: str | None) -> str:
    name = space_id(space or "")
    if name is None:
        raise ConfigurationError(f"{space!r} is no id of a Space, such as org/name")
    return name


def _token(api: Any) -> str:
    from huggingface_hub import get_token  # noqa: PLC0415 - see hub_api.py

    return str(api.token or get_token() or "")


def _too_late(
    name: str, stage: str, url: str, status: int | None, timeout_s: float
) -> StartupTimeout:
    answer = "nobody answers" if status is None else f"the answer is {status}"
    return StartupTimeout(
        f"the Space {name} was not ready within {timeout_s:g} s: the hub says {stage}, and at "
        f"{url}/health {answer}. Is it an environment? {endpoint()}/spaces/{name} shows its log"
    )
