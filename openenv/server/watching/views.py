"""SessionView: what spectators may see of one session, and its encoding for them.

The session only stores references here. They are decoded and encoded when a spectator is to be
shown them, once for all spectators of the same encoding. spectators.py decides who is shown what,
and when.
"""

from __future__ import annotations

import hashlib
import logging
import math
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, SupportsFloat

import msgspec

from openenv.codec import decode_any, plain
from openenv.protocol.frames import Partial, Result, Step, Summary

if TYPE_CHECKING:
    from openenv.arrays import Encoding
    from openenv.protocol.frames import Request
    from openenv.protocol.wire import Wire
    from openenv.server.ports import Deadlines, WatchedSession
    from openenv.server.runners.spec import EnvironmentSpec

logger = logging.getLogger("openenv.server")

RATE_S = 1.0
"The period over which steps are counted for their rate."

LONGEST_NAME = 256
"Labels and episode names are cut to this many characters for spectators."


def public_name(token: str) -> str:
    """Return the name of a session for spectators: its token would let them act in it."""
    return hashlib.sha256(token.encode()).hexdigest()[:12]


class Form(NamedTuple):
    """The encoding that a spectator wants, and whether it wants payloads."""

    wire: Wire
    with_payloads: bool


class Watcher(Protocol):
    """One client's request to watch, as a view knows it."""

    pending: dict[SessionView, None]
    "What has changed since it was last shown, in the order of changing."

    def forget(self, view: SessionView) -> None:
        """The session has ended."""


class Audience(Protocol):
    """All spectators of a server, as a view knows them."""

    spec: EnvironmentSpec
    deadlines: Deadlines
    changed: list[SessionView]
    "The views of which something is new since the last tick, each once."
    forms: frozenset[Form]
    "In which sessions are shown."


class SessionView:
    """One per session of a server that allows watching: `note` stores, `summary` encodes."""

    __slots__ = (
        "_audience",
        "_counted_steps",
        "_earlier_steps",
        "_encoding",
        "_frame",
        "_has_missed",
        "_is_awaited",
        "_is_stale",
        "_left_at",
        "_outcome",
        "_summaries",
        "episode",
        "is_changed",
        "name",
        "session",
        "steps_per_s",
        "total_reward",
        "watches",
    )

    def __init__(self, session: WatchedSession, audience: Audience) -> None:
        self.session = session
        self.name = public_name(session.token)
        self.episode = 0
        "How many episodes have begun."
        self.total_reward = 0.0
        self.steps_per_s = 0.0
        self.is_changed = False
        "Whether it is in `Spectators.changed`."
        self.watches: list[Watcher] = []
        self._audience = audience
        self._frame: object = None
        "The newest Reset or Step; of steps in columns the action itself."
        self._outcome: Any = None
        "The newest Result or Partial; of steps in columns the observation itself."
        self._encoding: Encoding = "msgpack"
        "The encoding of the newest action and of the outcome's payload, if they are bytes."
        self._summaries: dict[Form, msgspec.Raw] = {}
        self._is_stale = False
        "Whether the session has changed since the summaries were encoded."
        self._is_awaited = False
        "Whether to encode the next outcome as soon as it is stored."
        self._earlier_steps = 0
        self._counted_steps = 0
        self._left_at = (0, 0)
        "Episode and step at which the last spectator left."
        self._has_missed = False
        "Whether steps ran unwatched on the inline fast path, which stores nothing here."

    # ---- called in every step: these only store references and add up the reward

    def note(self, frame: Request, reply: Result, encoding: Encoding) -> None:
        """Store the result of a reset or step."""
        self._frame, self._outcome, self._encoding = frame, reply, encoding
        if reply.reward:
            self._add(reply.reward)
        if not self.is_changed:
            self._change()

    def note_observation(self, action: object, observation: object) -> None:
        """Store a step that came in a frame of many; its observation is not encoded yet."""
        self._frame, self._outcome = action, observation
        reward = (
            observation.get("reward")
            if isinstance(observation, dict)
            else getattr(observation, "reward", None)
        )
        if isinstance(reward, SupportsFloat):
            self._add(reward)
        if not self.is_changed:
            self._change()

    def note_partial(self, partial: Partial, encoding: Encoding) -> None:
        """Store an intermediate observation; its action is shown when the step is done."""
        self._frame, self._outcome, self._encoding = None, partial, encoding
        if not self.is_changed:
            self._change()

    def begin_episode(self, steps: int) -> None:
        """Reset the counts of the episode; `steps` is how many the former episode had."""
        self.episode += 1
        self.total_reward = 0.0
        self._has_missed = False
        self._earlier_steps += steps

    def _add(self, reward: SupportsFloat) -> None:
        try:
            self.total_reward += float(reward)
        # The reward is too large or no number. Watching must not make the step fail.
        except Exception:  # noqa: BLE001
            self.total_reward = math.nan

    def _change(self) -> None:
        if not self.watches:
            return
        self.is_changed = True
        self._audience.changed.append(self)
        if self._is_awaited:
            self._is_awaited = False
            self._summaries = {form: self._encode(*form) for form in self._audience.forms}

    # ---- called for spectators

    def follow(self, watching: Watcher) -> None:
        """Add a watch that shows this session."""
        session = self.session
        if not self.watches:
            session.watched_view = self
            self.steps_per_s, self._counted_steps = (
                0.0,
                self._earlier_steps + session.episode.step_count,
            )
            episode, step = self._left_at
            if session.episode.step_count > (step if episode == self.episode else 0):
                self._miss()
        self.watches.append(watching)

    def leave(self, watching: Watcher) -> None:
        """Remove a watch that showed this session."""
        self.watches.remove(watching)
        if not self.watches:
            self.session.watched_view = None
            self.is_changed, self._is_stale = False, True
            self._left_at = (self.episode, self.session.episode.step_count)

    def _miss(self) -> None:
        """Drop the stored outcome: an inline environment's unwatched steps have replaced it."""
        if self._audience.spec.convention.execution == "inline":
            self._frame = self._outcome = None
            self._has_missed = True

    def outdate(self) -> None:
        """Mark the summaries as old; the next change is announced to the spectators again."""
        self.is_changed, self._is_stale = False, True

    def count(self, elapsed_s: float) -> None:
        """Compute the steps per second; a rate that has fallen to 0 counts as a change."""
        steps = self._earlier_steps + self.session.episode.step_count
        before, self.steps_per_s = self.steps_per_s, (steps - self._counted_steps) / elapsed_s
        self._counted_steps = steps
        if before and not self.steps_per_s and not self.is_changed:
            self._change()

    def summary(self, form: Form) -> msgspec.Raw:
        """Return the session's summary in this form, as bytes, encoded once for all who want it."""
        if self._may_be_changing:
            # Do not encode while the thread may be writing to the observation. Show the summary
            # from before the call, and encode the next outcome when it is stored.
            self._is_awaited = True
            summary = self._summaries.get(form)
            return summary if summary is not None else self._encode(form.wire, with_payloads=False)
        if self._is_stale or self.is_changed:
            self._summaries.clear()
            self._is_stale = False
        summary = self._summaries.get(form)
        if summary is None:
            summary = self._summaries[form] = self._encode(*form)
        return summary

    @property
    def _may_be_changing(self) -> bool:
        """Whether a thread may be changing the observation that it has returned last."""
        session = self.session
        return (
            session.is_busy
            and self._audience.spec.convention.execution == "thread"
            and not isinstance(self._outcome, Partial)
        )

    def _encode(self, wire: Wire, with_payloads: bool) -> msgspec.Raw:
        session, outcome = self.session, self._result()
        episode = session.episode
        summary = Summary(
            session=self.name,
            environment=self._audience.spec.name,
            label=session.label and session.label[:LONGEST_NAME],
            episode_id=episode.episode_id and episode.episode_id[:LONGEST_NAME],
            episode=self.episode,
            step=episode.step_count,
            total_reward=None if self._has_missed else self.total_reward or 0,
            age_s=round(self._audience.deadlines.now_s - session.created_at_s, 2),
            steps_per_s=round(self.steps_per_s, 1) or 0,
        )
        if outcome is not None:
            summary.reward = outcome.reward
            summary.done, summary.truncated = outcome.done, outcome.truncated
            if with_payloads:
                summary.action = self._payload(self._action, wire)
                summary.observation = self._payload(outcome.observation, wire)
                summary.metadata = self._payload(outcome.metadata, wire)
        try:
            return _raw(wire, summary)
        except OverflowError:
            # The reward is an integer that no encoding can hold.
            summary.reward = None
            return _raw(wire, summary)

    @property
    def _is_of_columns(self) -> bool:
        return not isinstance(self._outcome, Result | Partial)

    @property
    def _action(self) -> object:
        if self._is_of_columns:
            return plain(self._frame)
        return self._frame.action if isinstance(self._frame, Step) else None

    def _result(self) -> Any:
        if self._outcome is None or not self._is_of_columns:
            return self._outcome
        try:
            return self._audience.spec.replies.result(0, self._outcome)
        # A user's object may raise anything. The session's own client gets the error.
        except Exception:  # noqa: BLE001
            return None

    def _payload(self, value: object, wire: Wire) -> Any:
        """Return a payload in the spectator's encoding; None for what cannot be encoded."""
        if value is None:
            return None
        try:
            if not isinstance(value, msgspec.Raw):
                return _raw(wire, value)
            if self._encoding == wire.encoding:
                return value
            return _raw(wire, decode_any(value, self._encoding))
        # Encoding a user's object may raise anything. The session's own client gets the error.
        except Exception as error:  # noqa: BLE001
            logger.debug("spectators are not shown a payload of %s: %s", self.name, error)
            return None


def _raw(wire: Wire, value: object) -> msgspec.Raw:
    data = wire.encode(value)
    return msgspec.Raw(data.encode() if isinstance(data, str) else data)
