"""EnvironmentSpec: what one server serves: how to make environments, call them, and speak of them.

Owns the factory and what the environment says of itself. How its methods are called is
convention.py's affair, what they take and return that of replies.py.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from openenv.codec import codec_for
from openenv.environment import Environment
from openenv.errors import ConfigurationError
from openenv.models import EnvironmentInfo, State
from openenv.server.runners.bound import BoundEnvironment
from openenv.server.runners.convention import CallingConvention, overrides
from openenv.server.runners.replies import Replies

logger = logging.getLogger("openenv.server")

Factory = Callable[[], Any]


class EnvironmentSpec:
    """Made once per server, worker process or test from what users give; see host.py."""

    def __init__(
        self,
        factory: Factory,
        sample: object,
        action_cls: object = None,
        observation_cls: object = None,
        state_cls: object = None,
        *,
        name: str | None = None,
        debug: bool = False,
        execution: str | None = None,
        is_shared: bool = False,
    ) -> None:
        """`sample` is the class of what the factory makes, or an instance."""
        self.factory = factory
        self.is_shared = is_shared
        "Whether there is one instance, which outlives its sessions and is closed with the server."
        cls = self.cls = sample if isinstance(sample, type) else type(sample)
        self.convention = CallingConvention(cls, execution)
        self.name = name or cls.__name__
        generic_action, generic_observation, generic_state = _type_arguments(cls)
        self.replies = Replies(
            self.name,
            action_cls or generic_action or dict,
            observation_cls or generic_observation or Any,
            state_cls or generic_state or _own_state_class(cls),
            takes_timeout=self.convention.step_takes_timeout,
            debug=debug,
        )
        self._info: EnvironmentInfo | None = None
        self._dropped: set[str] = set()

    # ---- instances

    def construct(self) -> BoundEnvironment:
        """Make an environment. Raises EnvironmentFactoryError."""
        try:
            environment = self.factory()
        except (Exception, SystemExit) as error:
            raise self.replies.factory_fault(error) from error
        if self.info is None:
            self._info = self._read_info(environment)
        return self.bind(environment)

    def bind(self, environment: object) -> BoundEnvironment:
        """Look up the methods of an instance."""
        return BoundEnvironment(environment, self.convention, keeps_open=self.is_shared)

    async def close_shared(self) -> None:
        """Close the shared instance, with the server."""
        close = getattr(self.factory(), "close", None) if self.is_shared else None
        outcome = close() if callable(close) else None
        if inspect.isawaitable(outcome):
            await outcome

    def warn_of_dropped(self, names: list[str]) -> None:
        """Log, once each, which arguments of clients reset does not take."""
        for name in names:
            if name not in self._dropped:
                self._dropped.add(name)
                logger.warning(
                    "%s.reset takes no %s: the one that clients send is dropped", self.name, name
                )

    # ---- what it says of itself

    @property
    def info(self) -> EnvironmentInfo | None:
        """What the environment says of itself; None until there was an instance to ask."""
        if self._info is None and not overrides(self.cls, "get_metadata"):
            self._info = self._plain_info()
        return self._info

    @info.setter
    def info(self, info: EnvironmentInfo) -> None:
        """Remember what an environment in another process has said."""
        self._info = info

    def _plain_info(self) -> EnvironmentInfo:
        return EnvironmentInfo(name=self.name, description=f"{self.name} environment")

    def _read_info(self, environment: Any) -> EnvironmentInfo:
        try:
            metadata = environment.get_metadata()
            if isinstance(metadata, EnvironmentInfo):
                return metadata
            data = metadata.model_dump() if hasattr(metadata, "model_dump") else metadata
            return msgspec.convert(data, EnvironmentInfo)
        except (Exception, SystemExit):  # as elsewhere: whatever an environment does
            # Its episodes do not depend on this.
            logger.exception("%s.get_metadata failed", self.name)
            return self._plain_info()


def _own_state_class(cls: type) -> object:
    """Return the class in the return annotation of `state`; Any where that says nothing useful."""
    if not overrides(cls, "state"):
        return State
    member = inspect.getattr_static(cls, "state")
    function = member.fget if isinstance(member, property) else member
    try:
        returned = get_type_hints(function).get("return")
        codec_for(returned)
    except (NameError, TypeError, AttributeError, ConfigurationError):
        return Any
    return returned if isinstance(returned, type) else Any


def _type_arguments(cls: type) -> tuple[Any, Any, Any]:
    """Return the classes in `Environment[A, O, S]` of the nearest base that names them."""
    for base in (base for klass in cls.__mro__ for base in getattr(klass, "__orig_bases__", ())):
        if get_origin(base) is Environment:
            # Any, which is a class too, is the default of what was not named.
            arguments = [
                argument if isinstance(argument, type) and argument is not Any else None
                for argument in get_args(base)
            ]
            return (*arguments, None, None, None)[:3]  # type: ignore[return-value]
    return None, None, None
