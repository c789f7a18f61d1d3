"""The samples of the documents that openenv began with, each run as it is written there.

samples/ holds their text, word for word, named after the document. What a sample cannot do without,
an import for instance, a test adds before or after it, and says so. test_containers.py runs those
that start containers.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

SAMPLES = Path(__file__).parent / "samples"

Load = Callable[[str, str], ModuleType]


def sample(name: str) -> str:
    """Return the text of a sample."""
    return (SAMPLES / name).read_text(encoding="utf-8")


def before(text: str, end: str) -> str:
    """Return what of a sample comes before a line that needs a container."""
    start, found, _ = text.partition(end)
    assert found
    return start


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Write a source to the file of a dotted name, import it, and return the module."""
    path_before, modules_before = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(tmp_path))

    def load(name: str, source: str) -> ModuleType:
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
        importlib.invalidate_caches()
        return importlib.import_module(name)

    yield load
    sys.path[:] = path_before
    # All are looked at before one goes: a package without a file finds its path by its parent.
    brought = [name for name in set(sys.modules) - modules_before if _is_in(tmp_path, name)]
    for name in brought:
        del sys.modules[name]


def _is_in(folder: Path, name: str) -> bool:
    module = sys.modules[name]
    paths = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    return any(str(path).startswith(str(folder)) for path in paths)
