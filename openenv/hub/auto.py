"""AutoEnv and AutoAction: from the name of an environment to a client of it, and to its classes.

Combines the other files of this package: discovery.py and spaces.py resolve the name, classes.py
imports the classes, starting.py chooses where the server comes from.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openenv.client.generic import GenericAction, GenericEnvClient
from openenv.client.launch import client_of, launch, sort_options
from openenv.errors import ConfigurationError, OpenEnvError
from openenv.hub.classes import action_class, client_class
from openenv.hub.consent import ask_for_consent
from openenv.hub.discovery import LocalEnvironment, discover, find, is_folder
from openenv.hub.info import describe, summarize, table
from openenv.hub.spaces import commit_of, download
from openenv.hub.starting import Start, plan_space, plan_start
from openenv.providers.base import in_thread
from openenv.providers.git import is_git_url
from openenv.providers.hub_api import endpoint, space_id
from openenv.providers.process import RuntimeProvider
from openenv.providers.space import WAKE_TIMEOUT_S, SpaceProvider
from openenv.providers.uv import UVProvider

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger("openenv.hub")

_URL = re.compile(r"(https?|wss?)://.+|unix:.+")


class AutoEnv:
    """Clients by name: `AutoEnv.from_env("echo-env")`. Has no instances."""

    def __new__(cls) -> AutoEnv:
        """Raise TypeError: all methods are class methods."""
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
        at `base_url`. Without it the server is the first that is available of: a running container
        that any client may use, a new container of the environment's image, a new process.
        `provider` ("docker", "process", "uv", or an object) chooses instead. If `name` is a folder,
        the code in it is served, and no image. Async code awaits the returned client; blocking code
        uses it as it is.

        Code that is not on this machine yet is run only after a confirmation, or with
        `trust_remote_code`; with `skip_install` the code of a client is not run. Other options go
        to the provider or to the client. Raises ConfigurationError, ProviderError.
        """
        if env_vars is not None:
            options["env_vars"] = dict(env_vars)
        if wait_timeout is not None:
            options["timeout_s"] = wait_timeout
        chosen = container_provider if provider is None else provider
        wish = StartRequest(chosen, docker_image, trust_remote_code, skip_install)
        return _meant(name, wish).client(options, base_url)

    @classmethod
    def from_hub(cls, name: str, *arguments: Any, **options: Any) -> Any:
        """Return a client as `from_env` does."""
        return cls.from_env(name, *arguments, **options)

    @classmethod
    def list_environments(cls) -> list[dict[str, Any]]:
        """Print the environments on this machine, and return a summary of each."""
        listed = [summarize(environment) for environment in discover()]
        print(table(listed))  # noqa: T201 (this is what it is for)
        return listed

    @classmethod
    def get_env_info(cls, name: str, *, trust_remote_code: bool = False) -> dict[str, Any]:
        """Return a description of an environment with its schemas; imports its classes."""
        return describe(locate(name, trust_remote_code))

    @classmethod
    def get_env_class(cls, name: str, *, trust_remote_code: bool = False) -> type[Any]:
        """Return the class of an environment's client."""
        return client_class(locate(name, trust_remote_code))


class AutoAction:
    """Classes of actions by name: `AutoAction.from_env("echo-env")`. Has no instances."""

    def __new__(cls) -> AutoAction:
        """Raise TypeError: all methods are class methods."""
        raise TypeError('AutoAction has no instances: AutoAction.from_env("echo-env") is a class')

    @classmethod
    def from_env(
        cls, name: str, skip_install: bool = False, *, trust_remote_code: bool = False
    ) -> type[Any]:
        """Return the class of an environment's actions, GenericAction where they are dicts."""
        return GenericAction if skip_install else action_class(locate(name, trust_remote_code))

    @classmethod
    def from_hub(cls, name: str, **options: Any) -> type[Any]:
        """Return a class as `from_env` does."""
        return cls.from_env(name, **options)

    @classmethod
    def get_action_info(cls, name: str, *, trust_remote_code: bool = False) -> dict[str, Any]:
        """Return the name, the module and the schema of an environment's actions."""
        info = describe(locate(name, trust_remote_code))
        return {"name": info["name"], "action": info["action"], "schema": info["action_schema"]}

    @classmethod
    def list_actions(cls) -> list[dict[str, Any]]:
        """Print the environments on this machine, and return a summary of each."""
        return AutoEnv.list_environments()


@dataclass(frozen=True)
class StartRequest:
    """The caller's choices about how to get an environment's server and code."""

    provider: Any
    image: str | None
    is_trusted: bool
    avoids_code: bool


@dataclass(frozen=True)
class ResolvedTarget:
    """What a name was resolved to: the client's class, and a plan for its server."""

    name: str
    client_cls: type[Any]
    plan: Callable[[bool], Start]
    "Returns the server to use; the argument says whether a running shared server is acceptable."

    def client(self, options: Mapping[str, Any], base_url: str | None) -> Any:
        """Return a client to be awaited or used as it is; of a blocking class, a blocking one."""
        of_client, of_provider, timeout_s = sort_options(self.client_cls, options)

        async def make() -> Any:
            # With options for the provider, a shared server that runs already will not do: it was
            # started without them.
            start = _at(base_url) if base_url else await in_thread(self.plan, not of_provider)
            _say(f"{self.name}: {start.description}")
            if start.provider is None:
                return self.client_cls(base_url=start.url, **_alone(of_client, of_provider))
            # A sleeping Space needs longer to answer than a server that is started here.
            wakes = isinstance(start.provider, SpaceProvider) and "timeout_s" not in options
            patience_s = WAKE_TIMEOUT_S if wakes else timeout_s
            return await launch(
                self.client_cls, start.provider, start.what, patience_s, of_provider, of_client
            )

        return client_of(self.client_cls, make)


def _meant(name: str, wish: StartRequest) -> ResolvedTarget:
    """Resolve a name; ask for consent first if code from elsewhere would run here."""
    space = _space(name)
    if space is not None:
        # With these providers the Space's server code runs on this machine, too.
        runs_here = wish.provider == "uv" or isinstance(wish.provider, RuntimeProvider)
        if runs_here:
            ask_for_consent(f"the Space {space}", is_trusted=wish.is_trusted)
        client_cls: type[Any] = GenericEnvClient
        if not wish.avoids_code:
            client_cls = client_class(locate(space, wish.is_trusted or runs_here))
        return ResolvedTarget(
            space, client_cls, lambda _: plan_space(space, wish.provider, wish.image)
        )
    if _URL.fullmatch(name):
        return ResolvedTarget(name, GenericEnvClient, lambda _: _at(name))
    if is_git_url(name):
        ask_for_consent(name, is_trusted=wish.is_trusted)
        start = Start(f"a process serves {name}", None, UVProvider(), (name,))
        return ResolvedTarget(name, GenericEnvClient, lambda _: start)
    environment = find(name)
    client_cls = GenericEnvClient if wish.avoids_code else client_class(environment)
    return ResolvedTarget(
        environment.name,
        client_cls,
        lambda is_plain: plan_start(environment, wish.provider, wish.image, may_share=is_plain),
    )


def _space(name: str) -> str | None:
    """Return the id of the Space that a name means; None if it means a folder, or no Space."""
    return None if is_folder(name) else space_id(name)


def locate(name: str, is_trusted: bool = False) -> LocalEnvironment:
    """Return the environment of this name; download that of a Space after asking for consent."""
    space = _space(name)
    if space is None:
        return find(name)
    try:
        commit = commit_of(space)
    except OpenEnvError as error:
        error.add_note(f"{name} is no folder here, so a Space of this id was looked for")
        raise
    what = f"the Space {space} (commit {commit[:12]} on {endpoint()})"
    otherwise = "with skip_install=True none of it runs here, and you play with dicts"
    ask_for_consent(what, is_trusted=is_trusted, otherwise=otherwise)
    return download(space, commit)


def _at(url: str) -> Start:
    return Start(f"the server at {url}", url)


def _alone(of_client: dict[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Return the client's options; refuse a provider's, because the server runs already."""
    if others:
        raise ConfigurationError(
            f"neither a client nor a server that runs already takes {', '.join(others)}"
        )
    return of_client


def _say(line: str) -> None:
    """Log a line; print it to a terminal if it is not logged, because the user is waiting."""
    logger.info(line)
    if not logger.isEnabledFor(logging.INFO) and sys.stderr.isatty():
        sys.stderr.write(f"openenv: {line}\n")
