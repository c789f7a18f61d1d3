"""COMPATIBILITY ONLY: see openenv.rubrics."""

from openenv.core._lazy import lazy
from openenv.rubrics import __all__ as __all__

__getattr__ = lazy(__name__, dict.fromkeys(__all__, "openenv.rubrics"))
