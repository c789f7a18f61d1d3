"""COMPATIBILITY ONLY: see openenv.errors; every class of the tree has its name here."""

from openenv.core._lazy import lazy
from openenv.errors import TABLE

_SOURCES = {error.__name__: "openenv.errors" for error in TABLE.values()}
__all__ = list(_SOURCES)
__getattr__ = lazy(__name__, _SOURCES)
