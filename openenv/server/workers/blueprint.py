"""Blueprint: the served environment and payload classes, as names a worker process can import.

Nothing is pickled. A class or function that cannot be imported by its name is refused with a
ConfigurationError that says how to change it. program.py loads the blueprint in the worker.
"""

from __future__ import annotations

import functools
import importlib
import sys
from pathlib import Path
from typing import Any

import msgspec

from openenv.errors import ConfigurationError


class Blueprint(msgspec.Struct):
    """Names in the form `module:name`; None for a payload class that `create_app` did not get."""

    env: str
    arguments: list[Any]
    options: dict[str, Any]
    "Arguments and options are those of a functools.partial, or of MADE_BY (`blueprint_of`)."
    payload_classes: list[str | None]
    debug: bool
    folders: dict[str, str]
    "Package name to folder, for packages outside of sys.path, such as an environment's folder."
    makes_class: bool = False
    "Whether `env` is a function that returns the class to serve: see `blueprint_of`."

    def load(self) -> tuple[Any, list[Any]]:
        """Import and return env and the payload classes. Raises ConfigurationError."""
        for name, folder in self.folders.items():
            # Imported here, because it needs the extra `server` and few blueprints have folders.
            from openenv.server.target import import_package  # noqa: PLC0415

            if name not in sys.modules:
                import_package(name, Path(folder), self.env)
        env = _find(self.env)
        if self.makes_class:
            env = env(*self.arguments, **self.options)
        elif self.arguments or self.options:
            env = functools.partial(env, *self.arguments, **self.options)
        return env, [name and _find(name) for name in self.payload_classes]


def blueprint_of(env: Any, payload_classes: list[Any], *, debug: bool) -> Blueprint:
    """Return the blueprint of what `create_app` was given. Raises ConfigurationError.

    A class that a function made has the attribute `MADE_BY`: the function's name, arguments and
    options. The worker calls that function again.
    """
    # `__dict__`, not getattr: a subclass inherits MADE_BY, but is imported by its own name.
    arguments, options, made_by = [], {}, getattr(env, "__dict__", {}).get("MADE_BY")
    if made_by is not None:
        name, arguments, options = made_by
        env = _find(name)
        _check_plain(arguments, options)
    elif isinstance(env, functools.partial):
        env, arguments, options = env.func, list(env.args), env.keywords
        _check_plain(arguments, options)
    names = [_name(env), *(None if cls is None else _name(cls) for cls in payload_classes)]
    folders = {}
    for name in names:
        if name is not None:
            folders.update(_folder(name.partition(":")[0].partition(".")[0]))
    classes = names[1:]
    return Blueprint(
        names[0] or "", arguments, options, classes, debug, folders, made_by is not None
    )


def _name(thing: object) -> str:
    """Return `module:name` of a class or function. Raises ConfigurationError."""
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    shown = name or f"an instance of {type(thing).__name__}"
    if module == "__main__":
        raise _refusal(shown, "it is defined in the program itself: move it into a module")
    if not isinstance(name, str) or not isinstance(module, str):
        raise _refusal(shown, "give a class, or a function that makes one")
    if "<" in name:
        raise _refusal(shown, "it is made inside a function: define it at the top of its module")
    path = f"{module}:{name}"
    try:
        found = _find(path)
    except ConfigurationError:
        found = None
    if found is not thing:
        raise _refusal(shown, f"{path} is something else: define it under its own name")
    return path


def _refusal(shown: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{shown} cannot run in worker processes, which import what they serve by its name. "
        f"{why[0].upper()}{why[1:]}, or choose execution = 'thread'"
    )


def _find(path: str) -> Any:
    module, _, name = path.partition(":")
    found: Any = None
    try:
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{path} cannot be imported: {error}") from error
    return found


def _check_plain(arguments: list[Any], options: dict[str, Any]) -> None:
    """Raise ConfigurationError for arguments that MessagePack does not give back unchanged."""
    try:
        data = msgspec.msgpack.decode(msgspec.msgpack.encode((arguments, options)))
    except (TypeError, ValueError, OverflowError):
        data = None
    if data != [arguments, options]:
        raise ConfigurationError(
            "it is made with arguments that are not plain data, so worker processes "
            "cannot have them: write a function at the top of a module that makes the environment"
        )


def _folder(top: str) -> dict[str, str]:
    """Return {package: folder} if a worker's import would not find the package, else {}."""
    paths = list(getattr(sys.modules.get(top), "__path__", ()))
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec = find(top, None) if find is not None else None
        if spec is not None:
            there = list(spec.submodule_search_locations or ())
            return {} if not paths or paths[0] in there else {top: paths[0]}
    return {top: paths[0]} if paths else {}
