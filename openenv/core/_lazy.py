"""COMPATIBILITY ONLY: names of a package that are imported when they are first used."""

from collections.abc import Callable
from importlib import import_module
from typing import Any


def lazy(module: str, sources: dict[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a module whose names are defined where `sources` says."""

    def __getattr__(name: str) -> Any:
        if name not in sources:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return getattr(import_module(sources[name]), name)

    return __getattr__
