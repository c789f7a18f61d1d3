"""Episode: a task in a browser context of its own, from its first page to its end.

Owns the tabs, the chat and the order of things in a step. What is observed of a tab is
observing.py's affair.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .actions import ACTION_ERRORS, Actions
from .browser import BrowserFailed, first_line
from .library import Error
from .observing import observe, screenshot

if TYPE_CHECKING:
    from .browser import Browser
    from .library import AbstractBrowserTask, Page
    from .settings import Settings

_LOADING_MS = 3000
_OPENING_MS = 20
_GREETING = "Hi! I am your UI assistant, I can perform web tasks for you. What can I help you with?"


class Episode:
    """Begun by its constructor; after `close` nothing is left of it in the browser."""

    def __init__(self, browser: Browser, task: AbstractBrowserTask, settings: Settings) -> None:
        """Open the task's first page. Raises BrowserFailed."""
        self._browser, self._task, self._settings = browser, task, settings
        self._messages: list[dict[str, Any]] = []
        self._has_given_up = False
        self._has_crashed = False
        self._tabs: list[Page] = []
        "Those that are or were open, the one shown last at the end."
        self._actions = Actions(settings.actions, self._say, self._give_up)
        width, height = settings.viewport or (task.viewport["width"], task.viewport["height"])
        self._context = browser.open_context(
            viewport={"width": width, "height": height},
            locale=task.locale,
            timezone_id=task.timezone_id,
        )
        self._context.set_default_timeout(task.timeout)
        self._context.on("page", self._open)
        try:
            self.goal = self._begin()
        except Error as error:
            raise BrowserFailed(f"the task could not be begun: {first_line(error)}") from error

    # ---- steps

    def act(self, text: str) -> str:
        """Do what an action says; return why it could not be done, or an empty text."""
        before, problem = self.page, ""
        try:
            shown = self._actions.perform(text, before)
        except ACTION_ERRORS as error:
            problem = f"{type(error).__name__}: {first_line(error)}"
        else:
            if shown is not before:
                self._show(shown)
        self._settle(self._settings.settle_s)
        return problem

    def judge(self) -> tuple[float, bool]:
        """Ask the task for the reward of the step, and whether the episode is done."""
        tabs = list(self._tabs)
        reward, is_done, message, _ = self._task.validate(self.page, self._messages)
        # A task may look elsewhere, in tabs of its own.
        self._tabs = tabs
        if message:
            self._hear("user", message)
        return float(reward), bool(is_done) or self._has_given_up

    def observe(self) -> dict[str, Any]:
        """Return what is observed of the page that is shown. Raises Error or BrowserFailed."""
        settings, page = self._settings, self.page
        tabs = self._context.pages
        seen = observe(page, settings.observe, coordinates=settings.coordinates)
        return {
            **seen,
            "text": seen.get("axtree_txt") or seen.get("pruned_html", ""),
            "goal": self.goal,
            "url": page.url,
            "open_pages_urls": [one.url for one in tabs],
            "active_page_index": tabs.index(page),
        }

    def screenshot(self) -> bytes:
        """Return a picture of the page that is shown, as a PNG file."""
        return screenshot(self.page)

    def close(self) -> None:
        """Close the tabs, and forget cookies and all else. Not for one that has failed."""
        self._task.teardown()
        self._context.close()

    # ---- tabs

    @property
    def page(self) -> Page:
        """The tab that is shown. Raises BrowserFailed if one has crashed."""
        if self._has_crashed:
            raise BrowserFailed("a tab has crashed")
        self._tabs = [tab for tab in self._tabs if not tab.is_closed()]
        return self._tabs[-1] if self._tabs else self._context.new_page()

    def _open(self, page: Page) -> None:
        page.on("crash", self._crash)
        self._show(page)

    def _show(self, page: Page) -> None:
        self._tabs = [*(tab for tab in self._tabs if tab is not page), page]

    def _crash(self, _: Page) -> None:
        self._has_crashed = True
        # Whoever waits for an answer of the tab would wait for ever.
        self._browser.kill()

    def _settle(self, for_s: float) -> None:
        """Let pages answer, and load what they go to."""
        # Waiting is how Playwright gets to tell of new tabs, and of crashed ones.
        self.page.wait_for_timeout(for_s * 1000)
        deadline = time.monotonic() + _LOADING_MS / 1000
        while self._browser.count_tabs() > len(self._context.pages) and time.monotonic() < deadline:
            self.page.wait_for_timeout(_OPENING_MS)
        for frame in (frame for tab in self._context.pages for frame in tab.frames):
            with suppress(Error):  # too slow, or gone
                frame.wait_for_load_state("domcontentloaded", timeout=_LOADING_MS)

    # ---- the task

    def _begin(self) -> str:
        """Set the task up in a new tab, and return its goal."""
        goal, _ = self._task.setup(page=self._context.new_page())
        text = _text_of(goal)
        self._hear("assistant", _GREETING)
        if text:
            self._hear("user", text)
        self._settle(0)
        return text

    def _hear(self, role: str, text: str) -> None:
        self._messages.append({"role": role, "timestamp": time.time(), "message": text})

    def _say(self, text: str) -> None:
        self._hear("assistant", _checked(text))

    def _give_up(self, reason: str) -> None:
        self._hear("infeasible", _checked(reason))
        self._has_given_up = True


def _checked(text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError(f"what is said is a text, not {text!r:.80}")
    return text


def _text_of(goal: Any) -> str:
    """Return a goal as text; of one in parts, those that are text."""
    parts = [goal] if isinstance(goal, str) or goal is None else goal
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return "\n".join(text for text in texts if text)
