"""Runs untrusted Python: see docs/howto/sandbox.md."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openenv.sandbox.isolation import SandboxError, SandboxUnavailable
    from openenv.sandbox.limits import Limits
    from openenv.sandbox.outcome import Outcome
    from openenv.sandbox.sandbox import Sandbox

__all__ = ["Limits", "Outcome", "Sandbox", "SandboxError", "SandboxUnavailable"]

# Imported when they are used: the zygote imports this package, and has no need of any of them.
_MODULES = {
    "Limits": "limits",
    "Outcome": "outcome",
    "Sandbox": "sandbox",
    "SandboxError": "isolation",
    "SandboxUnavailable": "isolation",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
