"""HTTPEnvClient: the blocking client over plain HTTP. Needs the extra `http`.

The same client as EnvClient, over an HttpConnection, behind the same facade as `.sync()`.
"""

from __future__ import annotations

from types import new_class
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_args, get_origin

from openenv.address import DEFAULT_PORT
from openenv.client.blocking.sync import SyncEnvClient
from openenv.client.env import EnvClient
from openenv.client.http.connection import HttpConnection
from openenv.client.launch import from_image, from_repository
from openenv.models import ActT, ObsT, StateT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openenv.client.ports import RequestLink

_ACTION_HOOKS = ("_step_payload", "_serialize_action")
_RESULT_HOOKS = ("_parse_result", "_parse_observation")
_HOOKS = (*_ACTION_HOOKS, *_RESULT_HOOKS, "_parse_state")


class _HttpEnvClient(EnvClient[ActT, ObsT, StateT]):
    """EnvClient over HTTP."""

    def _new_link(
        self,
        connect_timeout_s: float,
        max_message_size_mb: float,
        headers: Mapping[str, str] | None,
    ) -> RequestLink:
        return HttpConnection(self._base_url, connect_timeout_s=connect_timeout_s, headers=headers)

    def _copy_hooks(self, owner: object) -> None:
        """Use the hooks that the facade's class defines."""
        for name in _HOOKS:
            if hasattr(owner, name):
                setattr(self, name, getattr(owner, name))
        flags: Any = self  # class variables, which an instance may shadow
        flags._encodes_by_hook = any(hasattr(owner, name) for name in _ACTION_HOOKS)
        flags._parses_by_hook = any(hasattr(owner, name) for name in _RESULT_HOOKS)


class HTTPEnvClient(SyncEnvClient[ActT, ObsT, StateT]):
    """A blocking client for one environment: subclass it as `HTTPEnvClient[Act, Obs, State]`.

    Typed, and with hooks, like EnvClient; `with MyEnv(url) as env:` closes it. Slower than that,
    and without partial results: for places where only HTTP passes. Plays with servers of the
    first release too.
    """

    _client_cls: ClassVar[type[_HttpEnvClient[Any, Any, Any]]] = _HttpEnvClient

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Give the client underneath the same type parameters."""
        super().__init_subclass__(**keywords)
        for base in cls.__dict__.get("__orig_bases__", ()):
            origin = get_origin(base)
            if isinstance(origin, type) and issubclass(origin, HTTPEnvClient):
                cls._client_cls = new_class(cls.__name__, (_HttpEnvClient[get_args(base)],))  # type: ignore[misc]

    def __init__(
        self,
        base_url: str | None = None,
        request_timeout_s: float = 15.0,
        default_headers: Mapping[str, str] | None = None,
        provider: Any = None,
        *,
        wait_s: float = 0.0,
        label: str | None = None,
    ) -> None:
        """Remember where the server is.

        Nothing is connected yet. `wait_s` is how long to queue for a session slot.
        """
        client = self._client_cls(
            base_url,
            message_timeout_s=request_timeout_s,
            headers=default_headers,
            provider=provider,
            wait_s=wait_s,
            label=label,
        )
        client._copy_hooks(self)
        super().__init__(client)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """Return a client of the server at this URL."""
        return cls(base_url=url, **options)

    @classmethod
    def from_docker_image(cls, image: str, provider: Any = None, **options: Any) -> Self:
        """Start a container of an image and return its client; `close` removes it.

        `port`, `env_vars`, `timeout_s` until the server answers, and those of ContainerOptions go
        to the provider (default: LocalDockerProvider), others to the client. Raises ProviderError.
        """
        client: Self = from_image(cls, image, provider, options)
        return client

    @classmethod
    def from_env(
        cls, repo_id: str, *, use_docker: bool = True, provider: Any = None, **options: Any
    ) -> Self:
        """Serve a copy of a Space on this machine and return its client."""
        client: Self = from_repository(cls, repo_id, use_docker, provider, options)
        return client

    @classmethod
    def _from_docker(cls, image: str, port: int = DEFAULT_PORT, **options: Any) -> Self:
        """Start a container whose server listens on this port inside."""
        start = HTTPEnvClient.from_docker_image.__func__  # type: ignore[attr-defined]
        client: Self = start(cls, image, container_port=port, **options)
        return client
