"""BrowserGymEnvironment: reset chooses a task, step acts in the browser.

Owns an episode's count of steps and rewards, and what a failure of the browser comes to.
"""

from __future__ import annotations

import secrets
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from openenv.environment import Environment
from openenv.errors import ConfigurationError
from openenv.models import EnvironmentInfo

from ..models import BrowserGymAction, BrowserGymObservation, BrowserGymState
from .browser import Browser, BrowserFailed, first_line
from .episode import Episode
from .network import LOOPBACK, flags_of
from .settings import settings_of
from .tasks import make_task, task_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class InvalidAction(ValueError):
    """The episode is over; nothing has happened."""


class BrowserGymEnvironment(Environment[BrowserGymAction, BrowserGymObservation, BrowserGymState]):
    """A task in a browser. The options say what is played where reset does not.

    One Chromium per instance, which starts with the first reset and is kept for the next ones. It
    reaches `allowed_hosts` alone. A reset or step that takes longer than `call_timeout_s` ends it.
    Raises ConfigurationError.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True
    # Playwright's blocking form belongs to the thread that has started it, and mostly waits.
    execution = "thread"

    def __init__(
        self,
        *,
        allowed_hosts: Iterable[str] = LOOPBACK,
        chromium: str | None = None,
        is_sandboxed: bool = False,
        call_timeout_s: float = 60.0,
        **options: Any,
    ) -> None:
        super().__init__()
        self._options = options
        self._settings = settings_of(options)
        if not 0 < call_timeout_s <= threading.TIMEOUT_MAX:
            raise ConfigurationError(f"call_timeout_s is above 0, not {call_timeout_s}")
        self._call_timeout_s = call_timeout_s
        flags = flags_of(allowed_hosts)
        self._browser = Browser(chromium, flags, is_sandboxed=is_sandboxed)
        self._playing: Episode | None = None
        self._has_ended = False
        self._state = BrowserGymState()

    def reset(
        self, seed: int | None = None, episode_id: str | None = None, **options: Any
    ) -> BrowserGymObservation:
        """Begin a task; the options are the fields of Settings.

        Raises ConfigurationError: there is no such option, benchmark or task.
        """
        settings = settings_of({**self._options, **options})
        task = make_task(settings, secrets.randbits(32) if seed is None else seed)
        with self._contained(self._call_timeout_s):
            if self._playing is not None:
                self._playing.close()
            self._playing = episode = Episode(self._browser, task, settings)
            observation = BrowserGymObservation(**episode.observe())
        self._settings, self._has_ended = settings, False
        self._state = BrowserGymState(
            episode_id=episode_id,
            benchmark=settings.benchmark,
            task_name=settings.task_name,
            task_id=task_id(settings.benchmark, settings.task_name),
            goal=observation.goal,
            current_url=observation.url,
            max_steps=settings.max_steps,
        )
        return observation

    def step(
        self, action: BrowserGymAction, timeout_s: float | None = None
    ) -> BrowserGymObservation:
        """Act in the browser. An action that cannot be done is told in the observation.

        Raises BrowserFailed: then the episode is over, and another may be begun.
        """
        episode, state = self._episode_played(), self._state
        if self._has_ended:
            raise InvalidAction("the episode is over: begin another with reset")
        with self._contained(min(self._call_timeout_s, timeout_s or self._call_timeout_s)):
            problem = episode.act(action.action_str)
            reward, done = episode.judge()
            seen = episode.observe()
        state.step_count += 1
        state.cum_reward += reward
        state.current_url = seen["url"]
        truncated = not done and state.step_count >= state.max_steps
        self._has_ended = done or truncated
        return BrowserGymObservation(
            **seen,
            error=problem,
            last_action_error=bool(problem),
            reward=reward,
            done=done,
            truncated=truncated,
        )

    @property
    def state(self) -> BrowserGymState:
        """What the task is, and how far it is."""
        self._state.episode_id = self.episode_id
        return self._state

    def render(self) -> bytes:
        """Return a picture of the page, as a PNG file, whatever is observed."""
        with self._contained(self._call_timeout_s):
            return self._episode_played().screenshot()

    def get_metadata(self) -> EnvironmentInfo:
        """Describe it."""
        played = f"{self._settings.benchmark} {self._settings.task_name}".strip()
        return EnvironmentInfo(
            name="browsergym_env",
            description=f"Tasks in a real browser ({played} if reset chooses none)",
            version="1.0.0",
        )

    def close(self) -> None:
        """End the browser."""
        self._playing = None
        self._browser.close()

    def _episode_played(self) -> Episode:
        if self._playing is None:
            raise ConfigurationError("no episode has begun: call reset")
        return self._playing

    @contextmanager
    def _contained(self, timeout_s: float) -> Iterator[None]:
        """Have it end in time. Whatever fails ends the episode, and the browser with it."""
        with self._browser.deadline(timeout_s) as has_passed:
            try:
                yield
            except ConfigurationError:
                self._playing = None
                raise
            except Exception as error:  # Playwright's own, and whatever a task raises
                self._playing = None
                self._browser.close()
                why = str(error) if isinstance(error, BrowserFailed) else first_line(error)
                if has_passed.is_set():
                    why = f"nothing came back within {timeout_s:g} s, and Chromium was ended"
                raise BrowserFailed(f"{why}: begin another episode with reset") from error
