"""A real browser, Debian's Chromium, and servers with the page for it.

Playwright's synchronous form: tests of the page are plain functions. It keeps an event loop running
in its thread, so a browser lives no longer than the tests of one file, among which no test is
asynchronous (tests/webui/conftest.py).
"""

import asyncio
import queue
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from openenv.testing.chaos import CuttingProxy, cutting_proxy
from tests.node import workspace
from tests.patience import patient
from tests.processes import ENVIRON, OPENENV, ROOT

CHROMIUM = shutil.which("chromium")


@contextmanager
def launched() -> Iterator[Any]:
    """Chromium, meanwhile; skip the tests where there is none."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    from playwright.sync_api import expect, sync_playwright  # noqa: PLC0415 - most need no browser

    expect.set_options(timeout=patient(10) * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def serving_page(
    target: str, *options: str, port: int = 0, environ: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Yield the URL of `openenv serve` with the page, in a process of its own."""
    command = [*OPENENV, "serve", target, "--web", "--watch", "--port", str(port), *options]
    environ = {**ENVIRON, **(environ or {})}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    # A server that says nothing must not keep the tests.
    watchdog = threading.Timer(patient(60), process.kill)
    watchdog.start()
    try:
        line = process.stdout.readline()
        watchdog.cancel()
        watchdog.join()
        found = re.search(r"http://[\w.:]+", line)
        if found is None:
            raise AssertionError(process.communicate()[1])
        yield found.group()
    finally:
        process.kill()
        process.communicate()


class Way:
    """A way to a server that can be cut, from a thread that has no event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, proxy: CuttingProxy) -> None:
        self._loop, self._proxy = loop, proxy
        self.url = f"http://127.0.0.1:{proxy.port}"

    def cut(self) -> None:
        """Lose all sockets; new ones get through."""
        self._do(self._proxy.cut)

    def block(self) -> None:
        """Lose all sockets, and refuse new ones."""
        self._proxy.is_refusing = True
        self.cut()

    def unblock(self) -> None:
        self._proxy.is_refusing = False

    def _do(self, act: Callable[[], None]) -> None:
        done = threading.Event()
        self._loop.call_soon_threadsafe(lambda: (act(), done.set()))
        assert done.wait(patient(10))


@contextmanager
def cuttable(url: str) -> Iterator[Way]:
    """Yield a way to the server at this URL."""
    port = int(url.rpartition(":")[2])
    ways: queue.SimpleQueue[Way] = queue.SimpleQueue()
    stopped = asyncio.Event()

    async def forward() -> None:
        async with cutting_proxy(port) as proxy:
            ways.put(Way(asyncio.get_running_loop(), proxy))
            await stopped.wait()

    thread = threading.Thread(target=asyncio.run, args=(forward(),), name="openenv-test-way")
    thread.start()
    way = ways.get(timeout=patient(10))
    try:
        yield way
    finally:
        way._do(stopped.set)
        thread.join()


class Visitor:
    """One page in a browser context of its own, and what it must not do."""

    def __init__(self, browser: Any, url: str, **context: Any) -> None:
        self.url = url
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | context)
        self.page = self.context.new_page()
        self.page.set_default_timeout(patient(10) * 1000)
        self.complaints: list[str] = []
        self._expected: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._note(request.url))
        self.page.on("websocket", lambda socket: self._note(socket.url))

    def expect(self, complaint: str) -> None:
        """Do not mind complaints with these words, whenever they come: of a lost network, say."""
        self._expected.append(complaint)

    def leave(self) -> None:
        """Close the page, and see that it was quiet and asked nobody but its server."""
        self.context.close()
        heard = [one for one in self.complaints if not any(map(one.__contains__, self._expected))]
        assert not heard, heard
        others = self.hosts - {self.url.rpartition("/")[2]}
        assert not others, others

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")

    def _note(self, url: str) -> None:
        # What a page makes itself, blob: and data:, asks nobody.
        if found := re.match(r"(?:http|ws)s?://([^/]+)", url):
            self.hosts.add(found.group(1))


def script(visitor: Visitor) -> None:
    """Load openenv.js, as the package has it in one file, into a page without any other script."""
    visitor.page.goto(f"{visitor.url}/health")
    code = (workspace() / "client/dist/openenv.min.js").read_text()
    visitor.page.evaluate(
        """async (code) => {
            const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
            window.openenv = await import(url);
        }""",
        code,
    )


def press(page: Any, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def history(page: Any) -> Any:
    """The rows of the log of an episode, newest first."""
    rows = page.get_by_role("region", name="History").get_by_role("row")
    return rows.filter(has=page.get_by_role("cell"))
