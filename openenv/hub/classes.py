"""Imports the client-side classes of an environment: client, action, observation, state.

They are those that its manifest names, or else those with the usual names. Never imports the
server's code. discovery.py has found the environment before.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from typing import TYPE_CHECKING, Any

from openenv.client.blocking.sync import SyncEnvClient
from openenv.client.env import EnvClient
from openenv.client.generic import GenericAction, GenericEnvClient
from openenv.codec import codec_for
from openenv.errors import ConfigurationError
from openenv.server.target import import_failed, import_package, load_member

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from openenv.hub.discovery import LocalEnvironment


def client_class(environment: LocalEnvironment) -> type[Any]:
    """Return the class of the environment's client, GenericEnvClient if it has none.

    Raises ConfigurationError if the class cannot be imported, or is not a client.
    """
    named = environment.manifest.client
    if named is None and not (environment.folder / "client.py").is_file():
        return GenericEnvClient
    module, _, name = (named or "client").partition(":")
    if named is not None and not name:
        module, name = "client", named
    members = _own(_module(environment, module), is_client)
    if not name:
        name = _usual(environment, members, "Env") or next(iter(members), "")
        if not name:
            return GenericEnvClient
    return _class(environment, "client", f"{module}:{name}", is_client)


def payload_class(environment: LocalEnvironment, kind: str) -> type[Any] | None:
    """Return the class of actions, observations or states; None if the environment has none.

    Raises ConfigurationError.
    """
    named = getattr(environment.manifest, kind)
    if named is not None:
        module, _, name = named.rpartition(".")
        key = f"models.{kind}" if f"models.{kind}" in environment.manifest.lines else kind
        return _class(environment, key, f"{module or 'models'}:{name}", inspect.isclass)
    typed = _codec(client_class(environment), kind)
    if not typed.is_generic:
        return typed.cls  # type: ignore[no-any-return]
    if not (environment.folder / "models.py").is_file():
        return None
    members = _own(_module(environment, "models"), inspect.isclass)
    name = _usual(environment, members, kind.title())
    return members.get(name) if name else None


def action_class(environment: LocalEnvironment) -> type[Any]:
    """Return the class of actions, GenericAction where they are dicts."""
    return payload_class(environment, "action") or GenericAction


def schema_of(cls: type[Any] | None) -> dict[str, Any]:
    """Return the JSON schema of a payload class."""
    return codec_for(cls).json_schema()


def is_client(value: Any) -> bool:
    """Whether this is the class of a client."""
    return inspect.isclass(value) and issubclass(value, EnvClient | SyncEnvClient)


def _codec(client_cls: type[Any], kind: str) -> Any:
    # HTTPEnvClient is a facade: the codecs are those of its client class.
    return getattr(getattr(client_cls, "_client_cls", client_cls), f"_{kind}_codec")


def _module(environment: LocalEnvironment, name: str) -> ModuleType:
    package = (
        _package_of_space(environment) if environment.origin == "space" else environment.module
    )
    if package is None:
        return sys.modules[load_member(environment.folder, f"{name}:__name__")]
    try:
        return importlib.import_module(f"{package}.{name}")
    except (Exception, SystemExit) as error:
        raise import_failed(f"{environment.name} ({environment.place})", error) from error


def _package_of_space(environment: LocalEnvironment) -> str:
    """Import a Space's folder as a package; return the package's name.

    The name is the manifest's. If another module has that, the commit is added to it.
    """
    name = re.sub(r"\W", "_", environment.manifest.name)
    for called in (name, f"{name}_{environment.folder.name}"):
        known = sys.modules.get(called)
        if known is None and (called != name or importlib.util.find_spec(name) is None):
            import_package(called, environment.folder, f"the Space {environment.distribution}")
        elif str(environment.folder) not in getattr(known, "__path__", ()):
            continue  # another module has this name
        return called
    raise AssertionError("a name with a commit in it is no other package's")


def _own(module: ModuleType, is_candidate: Callable[[Any], bool]) -> dict[str, Any]:
    """Return the members that a module itself defines, by name."""
    return {
        name: value
        for name, value in vars(module).items()
        if is_candidate(value) and value.__module__ == module.__name__
    }


def _usual(environment: LocalEnvironment, members: dict[str, Any], end: str) -> str | None:
    """Return the name of the usual member: for coding_env and `Env`, CodingEnv.

    Or else the only name with this end, as CodeAction may be for `Action`.
    """
    stem = environment.manifest.stem.replace("-", "")
    ending = [name for name in members if name.endswith(end)]
    exact = [name for name in ending if name.lower() == f"{stem}{end}".lower()]
    return exact[0] if exact else ending[0] if len(ending) == 1 else None


def _class(
    environment: LocalEnvironment, key: str, reference: str, is_fit: Callable[[Any], bool]
) -> type[Any]:
    """Return the class, `module:name`, that the manifest gives under a key."""
    module, _, name = reference.partition(":")
    holder = _module(environment, module)
    value: Any = getattr(holder, name, None)
    if not is_fit(value):
        there = ", ".join(_own(holder, is_fit)) or "none that would do"
        kind = "client" if is_fit is is_client else "class"
        raise ConfigurationError(
            f"{environment.manifest.place(key)}: {module} has no {kind} {name!r}; it has: {there}"
        )
    return value  # type: ignore[no-any-return]
