"""Which tasks there are, and where they come from: the benchmarks of BrowserGym that are installed.

Knows nothing of browsers: a task is begun in a page by episode.py.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
import os
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openenv.errors import ConfigurationError

from .library import AbstractBrowserTask, browsergym, gymnasium
from .network import is_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .settings import Settings

_NO_BENCHMARKS = {"core", "utils", "experiments"}
_REAL_TIME = ("button-delay", "chase-circle", "hover-shape", "moving-items", "simon-says")
"Pages of MiniWoB++ that BrowserGym has no task for: they go on while the player thinks."


def make_task(settings: Settings, seed: int) -> AbstractBrowserTask:
    """Return the task of an episode. Raises ConfigurationError: there is none, or not here."""
    make = _maker(task_id(settings.benchmark, settings.task_name))
    options: dict[str, Any] = {}
    if settings.benchmark == "openended":
        if not is_page(settings.start_url):
            raise ConfigurationError(f"start_url begins with http, not {settings.start_url!r:.80}")
        options = {"start_url": settings.start_url, "goal": settings.goal}
    elif settings.benchmark == "miniwob":
        options = {"base_url": miniwob_url()}
    try:
        # As much of it as the tasks' generator takes.
        return make(seed=seed % 2**32, **options)
    except (AssertionError, KeyError, ValueError) as error:
        raise ConfigurationError(f"{settings.task_name} cannot be set up: {error}") from error


def task_id(benchmark: str, name: str) -> str:
    """Return BrowserGym's name of a task. Raises ConfigurationError, which lists near ones."""
    names = task_names(benchmark)
    if name not in names:
        raise ConfigurationError(
            f"there is no task {name!r:.80} in {benchmark}; there {_near(name, names)}"
        )
    return "browsergym/openended" if benchmark == "openended" else f"browsergym/{benchmark}.{name}"


@functools.cache
def task_names(benchmark: str) -> list[str]:
    """Return the tasks of a benchmark. Raises ConfigurationError, which lists what is installed."""
    there = benchmarks()
    if benchmark not in there:
        raise ConfigurationError(
            f"there is no benchmark {benchmark!r:.80} here; there {_near(benchmark, there)}. "
            "Others are packages: pip install browsergym-webarena"
        )
    if benchmark == "openended":
        return ["openended"]
    try:
        importlib.import_module(f"browsergym.{benchmark}")
    except (ImportError, AssertionError, LookupError, OSError, ValueError) as error:
        raise ConfigurationError(f"{benchmark} cannot be imported: {error}") from error
    prefix = f"browsergym/{benchmark}."
    names = {name[len(prefix) :] for name in gymnasium.registry if name.startswith(prefix)}
    return sorted(names.union(_REAL_TIME if benchmark == "miniwob" else ()))


def benchmarks() -> list[str]:
    """Return those that are installed."""
    found = {module.name for module in pkgutil.iter_modules(browsergym.__path__)}
    return sorted({"openended", *found} - _NO_BENCHMARKS)


@functools.cache
def miniwob_url() -> str:
    """Return where the pages of MiniWoB++ are: a folder of their package, or MINIWOB_URL."""
    if url := os.environ.get("MINIWOB_URL"):
        return url
    # Not imported: it would bring Selenium along.
    spec = importlib.util.find_spec("miniwob")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(
            "the pages of MiniWoB++ are not installed: pip install 'openenv[browsergym]', or set "
            "MINIWOB_URL"
        )
    return f"{Path(spec.submodule_search_locations[0], 'html', 'miniwob').as_uri()}/"


@functools.cache
def _maker(name: str) -> Callable[..., AbstractBrowserTask]:
    page = name.removeprefix("browsergym/miniwob.")
    if page in _REAL_TIME:
        base = importlib.import_module("browsergym.miniwob.base").AbstractMiniwobTask
        return type("RealTimeTask", (base,), {"subdomain": page})
    # Made without a browser, which would start with its first reset.
    entry_point: Any = gymnasium.registry[name].entry_point
    maker: Callable[..., AbstractBrowserTask] = entry_point().task_entrypoint
    return maker


def _near(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name.lower(), names, 3, cutoff=0.4) or list(names)[:10]
    return f"is {', '.join(near)}" if near else "are none"
