"""COMPATIBILITY ONLY: names of a module that are imported when they are first used."""

from collections.abc import Callable
from importlib import import_module
from typing import Any


def lazy(module: str, sources: dict[str, str]) -> Callable[[str], Any]:
    def __getattr__(name: str) -> Any:
        if name in sources:
            return getattr(import_module(sources[name]), name)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return __getattr__
