"""What holds for every test: nothing is left running after it, and under CI nothing is skipped.

Servers and clients are started by `async with` helpers inside tests, never by fixtures: a fixture
that held a task group across its `yield` would be torn down in another task.
"""

import asyncio
import inspect
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.leftovers import Run
from tests.patience import patient

# A shell that starts the tests in the background has them ignore Ctrl-C, and their children too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The sync client's event loop: one daemon thread per process, kept until exit.
_KEPT_THREADS = {"openenv-portal"}
_GRACE_S = 5.0


@pytest.fixture(autouse=True)
def _process_is_as_before() -> Iterator[None]:
    """Put back what commands and servers of folders change when they run in this process."""
    path, modules = list(sys.path), set(sys.modules)
    levels = {logger: logger.level for logger in _loggers()}
    yield
    for logger in _loggers():
        logger.setLevel(levels.get(logger, logging.NOTSET))
    gone = tuple(f"{entry}{os.sep}" for entry in sys.path if entry and entry not in path)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        # Another folder may have a module of this name; packages have names of their own.
        file = getattr(sys.modules[name], "__file__", None) or ""
        if gone and "." not in name and file.startswith(gone):
            del sys.modules[name]


def _loggers() -> list[logging.Logger]:
    names = [name for name in logging.root.manager.loggerDict if name.startswith("openenv")]
    return [logging.root, *map(logging.getLogger, names)]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    started = [t for t in threading.enumerate() if t not in before and t.name not in _KEPT_THREADS]
    for thread in started:
        thread.join(patient(_GRACE_S))
    left = [thread.name for thread in started if thread.is_alive()]
    assert not left, f"threads left running: {left}"


# Asking for the thread check makes it run last: closing the loop ends its executor's threads.
@pytest.fixture(autouse=True)
def _async_tests_leave_no_task(request: pytest.FixtureRequest, _no_thread_is_left: None) -> None:
    if inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        request.getfixturevalue("_no_task_is_left")


@pytest.fixture
async def _no_task_is_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    started = asyncio.all_tasks() - before - {asyncio.current_task()}
    if started:
        # A task that has been cancelled or told to stop still needs its turns to end.
        await asyncio.wait(started, timeout=patient(_GRACE_S))
    left = [str(task.get_coro()) for task in started if not task.done()]
    assert not left, f"tasks left running: {left}"


# ---- containers: what `containers` gives, and why it may be skipped, is in tests/containers.py


@pytest.fixture(scope="session")
def _image_of_echo() -> Iterator[Any]:
    from tests.containers import image_of_echo  # noqa: PLC0415 - most runs need no Docker

    with image_of_echo() as containers:
        yield containers


@pytest.fixture
def containers(request: pytest.FixtureRequest, _image_of_echo: Any) -> Iterator[Any]:
    from tests.containers import none_left  # noqa: PLC0415 - as above

    if "PYTEST_XDIST_WORKER" in os.environ:
        # pytest-xdist has read the groups below: no other worker starts containers meanwhile.
        assert request.node.nodeid.endswith("@containers")
    with none_left(_image_of_echo):
        yield _image_of_echo


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist's, which reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    usual_s = float(config.getoption("timeout") or config.getini("timeout"))
    for item in items:
        # Of several workers one has all tests of a file, and one all that start containers: images
        # have the names that documents give them.
        group = item.nodeid.partition("::")[0]
        if "containers" in getattr(item, "fixturenames", ()):
            # The first one builds the image, and may have to fetch what it is made of.
            item.add_marker(pytest.mark.timeout(240))
            group = "containers"
        item.add_marker(pytest.mark.xdist_group(group))
        limit = item.get_closest_marker("timeout")
        limit_s = limit.args[0] if limit else usual_s
        # In front of the test's own mark, because pytest-timeout reads the first.
        item.add_marker(pytest.mark.timeout(patient(limit_s)), append=False)


# ---- what the whole run leaves behind

_RUN = pytest.StashKey[Run]()


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # a worker's run is that of the process that started it
        config.stash[_RUN] = Run()
        config.stash[_RUN].begin()


def pytest_unconfigure(config: pytest.Config) -> None:
    if _RUN in config.stash and (left := config.stash[_RUN].end()):
        raise pytest.UsageError("left behind by the tests:\n" + "\n".join(left))


# ---- skips


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in _unexpected_skips(terminalreporter):
        terminalreporter.write_line(f"FAILED {report.nodeid}: skipped under CI", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus == 0 and reporter is not None and _unexpected_skips(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _unexpected_skips(reporter: pytest.TerminalReporter) -> list[pytest.TestReport]:
    """Skips that would let CI pass without having tested; `opt-in:` reasons are meant."""
    if not os.environ.get("CI"):
        return []
    return [r for r in reporter.stats.get("skipped", []) if "opt-in:" not in str(r.longrepr)]
