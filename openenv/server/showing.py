"""Showing: what spectators may see of one session, and its encoding for them.

The session only leaves references here; nothing is decoded or encoded before somebody looks, and
then once for all who look. Who looks, and when, is spectators.py's affair.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from openenv.codec import decode_any, plain
from openenv.errors import OpenEnvError
from openenv.protocol.frames import Partial, Result, Step, Summary

if TYPE_CHECKING:
    from openenv.arrays import Encoding
    from openenv.protocol.wire import Wire
    from openenv.server.session import Session
    from openenv.server.spectators import Spectators, Watching

logger = logging.getLogger("openenv.server")

RATE_S = 1.0
"Over how long steps are counted for their rate."


def public_name(token: str) -> str:
    """Return what a session is called before spectators: its token would let them act in it."""
    return hashlib.sha256(token.encode()).hexdigest()[:12]


class Form(NamedTuple):
    """How a spectator wants to be told."""

    wire: Wire
    with_payloads: bool


class Showing:
    """One per session of a server that may be watched. `take` what passes, `summary` shows it."""

    __slots__ = (
        "_action",
        "_counted_steps",
        "_encoding",
        "_is_awaited",
        "_is_stale",
        "_outcome",
        "_spectators",
        "_summaries",
        "episode",
        "is_changed",
        "name",
        "session",
        "steps",
        "steps_per_s",
        "total_reward",
        "watches",
    )

    def __init__(self, session: Session, spectators: Spectators) -> None:
        self.session = session
        self.name = public_name(session.token)
        self.episode = 0
        "How many have begun."
        self.steps = 0
        "In all episodes."
        self.total_reward = 0.0
        self.steps_per_s = 0.0
        self.is_changed = False
        "Whether it is among the spectators' changed ones."
        self.watches: list[Watching] = []
        self._spectators = spectators
        self._action: Any = None
        self._outcome: Any = None
        "The newest Result or Partial; of steps in columns the observation itself."
        self._encoding: Encoding = "msgpack"
        "Of the newest action, and of the outcome's payload where those are bytes."
        self._summaries: dict[Form, Any] = {}
        self._is_stale = False
        "Whether something has happened since the summaries were encoded."
        self._is_awaited = False
        "Whether the next outcome is to be encoded as soon as it comes."
        self._counted_steps = 0

    # ---- on the way of each step: references, and one sum

    def take(self, frame: Any, reply: Result, encoding: Encoding) -> None:
        """Note the result of a reset or step."""
        if type(frame) is Step:
            self.steps += 1
            self._action = frame.action
        else:
            self.episode += 1
            self.total_reward, self._action = 0.0, None
        if reply.reward:
            self.total_reward += reply.reward
        self._note(reply, encoding)

    def take_observation(self, action: Any, observation: Any) -> None:
        """Note a step of many in one frame, whose observation is taken apart with the others'."""
        self.steps += 1
        self._action = action
        reward = (
            observation.get("reward")
            if isinstance(observation, dict)
            else getattr(observation, "reward", None)
        )
        if reward:
            try:
                self.total_reward += float(reward)
            except (TypeError, ValueError):
                # No number: its client is told so.
                return
        self._note(observation, "msgpack")

    def take_partial(self, partial: Partial, encoding: Encoding) -> None:
        """Note an intermediate observation."""
        self._note(partial, encoding)

    def _note(self, outcome: Any, encoding: Encoding) -> None:
        self._outcome, self._encoding = outcome, encoding
        self._change()
        if self._is_awaited:
            self._is_awaited = self._is_stale = False
            self._summaries = {form: self._encode(*form) for form in self._spectators.forms}

    def _change(self) -> None:
        self._is_stale = True
        if not self.is_changed:
            self.is_changed = True
            self._spectators.changed.append(self)

    # ---- for who looks

    def count(self, elapsed_s: float) -> None:
        """Take the rate of the last moments; that it has fallen to nothing is news, too."""
        before, steps = self.steps_per_s, self.steps - self._counted_steps
        self._counted_steps = self.steps
        self.steps_per_s = round(steps / elapsed_s, 1)
        if before and not steps:
            self._change()

    def summary(self, form: Form) -> Any:
        """Return the session's summary in this form, as bytes, encoded once for all who want it."""
        if self._may_be_changing:
            # What is there was encoded at rest; what comes next is going to be.
            self._is_awaited = True
            summary = self._summaries.get(form)
            return summary if summary is not None else self._encode(form.wire, with_payloads=False)
        if self._is_stale:
            self._summaries.clear()
            self._is_stale = False
        summary = self._summaries.get(form)
        if summary is None:
            summary = self._summaries[form] = self._encode(*form)
        return summary

    @property
    def _may_be_changing(self) -> bool:
        """Whether a thread has an observation in its hands that it has returned before."""
        session = self.session
        return (
            session.is_busy
            and session.registry.calls.execution == "thread"
            and not isinstance(self._outcome, Partial)
        )

    def _encode(self, wire: Wire, with_payloads: bool) -> Any:
        session, outcome = self.session, self._result()
        registry = session.registry
        summary = Summary(
            session=self.name,
            environment=registry.calls.name,
            label=session.label,
            episode_id=session.episode_id,
            episode=self.episode,
            step=session.step_count,
            total_reward=self.total_reward or 0,
            age_s=round(registry.now_s - session.created_at_s, 2),
            steps_per_s=self.steps_per_s or 0,
        )
        if outcome is not None:
            summary.reward = outcome.reward
            summary.done, summary.truncated = outcome.done, outcome.truncated
            if with_payloads:
                summary.action = self._payload(self._action, wire)
                summary.observation = self._payload(outcome.observation, wire)
                summary.metadata = self._payload(outcome.metadata, wire)
        return _raw(wire, summary)

    def _result(self) -> Any:
        outcome = self._outcome
        if outcome is None or isinstance(outcome, Result | Partial):
            return outcome
        try:
            return self.session.registry.calls.result(0, outcome)
        except OpenEnvError:
            return None

    def _payload(self, value: Any, wire: Wire) -> Any:
        """Return a payload in the spectator's encoding; None for what cannot be encoded."""
        if value is None:
            return None
        try:
            if not isinstance(value, msgspec.Raw):
                return _raw(wire, plain(value) if value is self._action else value)
            if self._encoding == wire.encoding:
                return value
            return _raw(wire, decode_any(value, self._encoding))
        # A payload is a user's object: its encoding may raise anything. Its own client is told.
        except Exception as error:  # noqa: BLE001
            logger.debug("spectators are not shown a payload of %s: %s", self.name, error)
            return None


def _raw(wire: Wire, value: Any) -> msgspec.Raw:
    data = wire.encode(value)
    return msgspec.Raw(data.encode() if isinstance(data, str) else data)
