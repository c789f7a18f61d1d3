"""The import name of the first releases: the module `openenv_core.X` is `openenv.core.X`.

With one exception: Action, Observation and State were dataclasses then, so here they are those
of openenv.models, and nothing that needs pydantic is loaded.
"""

import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from openenv import models
from openenv.core import __all__ as __all__

_MODELS = {"Action": models.Action, "Observation": models.Observation, "State": models.State}
_MODULES_WITH_MODELS = {f"openenv.core.env_server{end}" for end in ("", ".interfaces", ".types")}


class _Alias(MetaPathFinder, Loader):
    """Finds `openenv_core.X` as `openenv.core.X`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        real = fullname.replace("openenv_core.", "openenv.core.", 1)
        if real == fullname or (real_spec := find_spec(real)) is None:
            return None
        spec = ModuleSpec(fullname, self, loader_state=real)
        spec.submodule_search_locations = real_spec.submodule_search_locations
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        if spec.loader_state in _MODULES_WITH_MODELS:
            return None
        module = import_module(spec.loader_state)
        # The import system is about to replace it; exec_module puts it back.
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        real = module.__spec__.loader_state
        if isinstance(real, ModuleSpec):
            module.__spec__ = real
        else:
            module.__dict__.update(_MODELS, __getattr__=partial(_attribute, real))


def _attribute(module: str, name: str) -> Any:
    if name == "__path__":
        # Every import statement asks for it, and only packages have it: no reason to load pydantic.
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    return getattr(import_module(module), name)


def __getattr__(name: str) -> Any:
    return _MODELS[name] if name in _MODELS else _attribute("openenv.core", name)


# First: a sub-package found here has the real one's __path__, and the path finder would load a
# second copy of the modules in it.
sys.meta_path.insert(0, _Alias())
