"""A real browser, Debian's Chromium, and servers with the page for it.

Playwright's synchronous form: tests of the page are plain functions. It keeps an event loop running
in its thread, so a browser lives no longer than the tests of one file, among which no test is
asynchronous (tests/webui/conftest.py).
"""

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.processes import ENVIRON, OPENENV, ROOT

CHROMIUM = shutil.which("chromium")
PATIENCE_MS = 10_000


@contextmanager
def launched() -> Iterator[Any]:
    """Chromium, meanwhile; skip the tests where there is none."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - most runs need no browser

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def serving_page(target: str, *options: str, port: int = 0) -> Iterator[str]:
    """Yield the URL of `openenv serve` with the page, in a process of its own."""
    command = [*OPENENV, "serve", target, "--web", "--watch", "--port", str(port), *options]
    process = subprocess.Popen(
        command, cwd=ROOT, env=ENVIRON, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    # A server that says nothing must not keep the tests.
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        found = re.search(r"http://[\w.:]+", process.stdout.readline())
        if found is None:
            raise AssertionError(process.communicate()[1])
        yield found.group()
    finally:
        watchdog.cancel()
        watchdog.join()
        process.kill()
        process.communicate()


class Watched:
    """What a page must not do: complain on its console, fail, or ask another host."""

    def __init__(self, page: Any) -> None:
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._note(request.url))
        page.on("websocket", lambda socket: self._note(socket.url))

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")

    def _note(self, url: str) -> None:
        # What a page makes itself, blob: and data:, asks nobody.
        if found := re.match(r"(?:http|ws)s?://([^/]+)", url):
            self.hosts.add(found.group(1))
