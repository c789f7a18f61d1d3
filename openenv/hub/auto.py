"""AutoEnv and AutoAction: from the name of an environment to a client of it, and to its classes.

Puts together what the others know: which environment is meant (discovery.py, spaces.py), its
classes (classes.py), where its server comes from (starting.py).
"""

from __future__ import annotations

import logging
import re
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from openenv.client import portal
from openenv.client.either import EitherClient
from openenv.client.generic import GenericAction, GenericEnvClient
from openenv.client.launch import launch, sort_options
from openenv.client.sync import SyncEnvClient
from openenv.hub.classes import action_class, client_class
from openenv.hub.consent import ask_for_consent
from openenv.hub.discovery import discover, find
from openenv.hub.info import describe, summarize, table
from openenv.hub.starting import Start, plan_start
from openenv.providers.base import in_thread
from openenv.providers.git import is_git_url
from openenv.providers.uv import UVProvider

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

logger = logging.getLogger("openenv.hub")

_URL = re.compile(r"(https?|wss?)://.+|unix:.+")


class AutoEnv:
    """Clients by name: `AutoEnv.from_env("echo-env")`. Has no instances."""

    def __new__(cls) -> AutoEnv:
        """Refuse."""
        raise TypeError('AutoEnv has no instances: AutoEnv.from_env("echo-env") returns a client')

    @classmethod
    def from_env(
        cls,
        name: str,
        base_url: str | None = None,
        docker_image: str | None = None,
        container_provider: Any = None,
        wait_timeout: float | None = None,
        env_vars: Mapping[str, str] | None = None,
        trust_remote_code: bool = False,
        skip_install: bool = False,
        *,
        provider: Any = None,
        **options: Any,
    ) -> Any:
        """Return a client of an environment, after starting what is needed; `close` stops that.

        `name` is that of an environment on this machine (`echo-env`, `echo_env` or `echo`), its
        folder, the URL of a server, `git+https://...` or the id of a Space. The server is the one
        at `base_url`; else a container that already runs for everyone, a container of the
        environment's image, or a process, whichever can be had first; `provider` ("docker",
        "process", "uv", or an object) chooses. Of a folder the code is served that is in it. What
        is returned is awaited in async code and used as it is in blocking code.

        Code that is not on this machine yet runs after a confirmation, or with `trust_remote_code`;
        with `skip_install` never. Other options go to the provider or to the client. Raises
        ConfigurationError, ProviderError.
        """
        if env_vars is not None:
            options["env_vars"] = dict(env_vars)
        chosen = container_provider if provider is None else provider
        if _URL.fullmatch(name) and base_url is None:
            return _client(GenericEnvClient, name, partial(_at, name), options, wait_timeout)
        if is_git_url(name) and base_url is None:
            ask_for_consent(name, is_trusted=trust_remote_code)
            start = Start(f"a process serves {name}", None, UVProvider(), (name,))
            return _client(GenericEnvClient, name, lambda: start, options, wait_timeout)
        found = find(name)
        client_cls = GenericEnvClient if skip_install else client_class(found)
        if base_url is not None:
            return _client(client_cls, found.name, partial(_at, base_url), options, wait_timeout)
        _, of_provider, _ = sort_options(client_cls, options)
        # Whoever wants one of a certain kind does not want somebody else's.
        plan = partial(plan_start, found, chosen, docker_image, may_share=not of_provider)
        return _client(client_cls, found.name, plan, options, wait_timeout)

    @classmethod
    def from_hub(cls, name: str, *arguments: Any, **options: Any) -> Any:
        """Return a client as `from_env` does."""
        return cls.from_env(name, *arguments, **options)

    @classmethod
    def list_environments(cls) -> list[dict[str, Any]]:
        """Print the environments on this machine, and return what there is to say of each."""
        listed = [summarize(found) for found in discover()]
        print(table(listed))  # noqa: T201 (this is what it is for)
        return listed

    @classmethod
    def get_env_info(cls, name: str) -> dict[str, Any]:
        """Return what there is to say of an environment, its schemas too; imports its classes."""
        return describe(find(name))

    @classmethod
    def get_env_class(cls, name: str) -> type[Any]:
        """Return the class of an environment's client."""
        return client_class(find(name))


class AutoAction:
    """Classes of actions by name: `AutoAction.from_env("echo-env")`. Has no instances."""

    def __new__(cls) -> AutoAction:
        """Refuse."""
        raise TypeError('AutoAction has no instances: AutoAction.from_env("echo-env") is a class')

    @classmethod
    def from_env(
        cls, name: str, skip_install: bool = False, *, trust_remote_code: bool = False
    ) -> type[Any]:
        """Return the class of an environment's actions, GenericAction where they are dicts."""
        return GenericAction if skip_install else action_class(find(name))

    @classmethod
    def from_hub(cls, name: str, **options: Any) -> type[Any]:
        """Return a class as `from_env` does."""
        return cls.from_env(name, **options)

    @classmethod
    def get_action_info(cls, name: str) -> dict[str, Any]:
        """Return the name, the module and the schema of an environment's actions."""
        info = describe(find(name))
        return {"name": info["name"], "action": info["action"], "schema": info["action_schema"]}

    @classmethod
    def list_actions(cls) -> list[dict[str, Any]]:
        """Print the environments on this machine, and return what there is to say of each."""
        return AutoEnv.list_environments()


def _at(url: str) -> Start:
    return Start(f"the server at {url}", url)


def _client(
    client_cls: type[Any],
    name: str,
    plan: Callable[[], Start],
    options: Mapping[str, Any],
    wait_timeout: float | None,
) -> Any:
    """Return a client of what is planned, awaited or not; one that only blocks, if it is such."""
    of_client, of_provider, timeout_s = sort_options(client_cls, options)
    if wait_timeout is not None:
        timeout_s = wait_timeout

    async def make() -> Any:
        start = await in_thread(plan)
        _say(f"{name}: {start.said}")
        if start.provider is None:
            return client_cls(base_url=start.url, **of_client)
        return await launch(
            client_cls, start.provider, start.what, timeout_s, of_provider, of_client
        )

    return portal.run(make) if issubclass(client_cls, SyncEnvClient) else EitherClient(make)


def _say(line: str) -> None:
    """Log a line; whoever sits at a terminal, waiting, sees it in any case."""
    logger.info(line)
    if not logger.isEnabledFor(logging.INFO) and sys.stderr.isatty():
        sys.stderr.write(f"openenv: {line}\n")
