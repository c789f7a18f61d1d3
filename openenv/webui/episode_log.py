"""What has happened in an episode, as the message `state_update` of /ws/ui has it."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import Any

import msgspec

from openenv import arrays

MOST_STEPS = 1000
MOST_BYTES = 4 * 1024 * 1024
"Of steps with large observations fewer are kept: each message holds all of them."

encode = msgspec.json.Encoder(enc_hook=arrays.enc_hook_json).encode


class LoggedStep(msgspec.Struct):
    """A line of the log."""

    timestamp: str
    action: Any
    observation: Any
    reward: Any
    done: bool
    step_count: int


class EpisodeState(msgspec.Struct):
    """What a message tells."""

    episode_id: str | None = None
    step_count: int = 0
    current_observation: Any = None
    action_logs: list[msgspec.Raw] = []
    is_reset: bool = True


class EpisodeLog:
    """Kept for one session, from each reset to the next."""

    def __init__(self) -> None:
        self._state = EpisodeState()
        self._steps: deque[msgspec.Raw] = deque(maxlen=MOST_STEPS)
        self._size_bytes = 0
        self._newest: Any = None

    def begin(self, episode_id: str | None, observation: Any) -> None:
        """Forget what was, and take a first observation."""
        self._steps.clear()
        self._size_bytes = 0
        self._state = EpisodeState(episode_id, 0, msgspec.Raw(encode(observation)))

    def add(self, step_count: int, action: Any, result: Any) -> None:
        """Take a step: its number, its action as plain data, and its result frame.

        A result that is there already was fetched once more.
        """
        if result is self._newest:
            return
        self._newest = result
        observation = msgspec.Raw(encode(result.observation))
        is_over = result.done or result.truncated
        now = datetime.now(UTC).isoformat()
        step = encode(LoggedStep(now, action, observation, result.reward, is_over, step_count))
        self._steps.append(msgspec.Raw(step))
        self._size_bytes += len(step)
        while self._size_bytes > MOST_BYTES and len(self._steps) > 1:
            self._size_bytes -= len(bytes(self._steps.popleft()))
        self._state = EpisodeState(self._state.episode_id, step_count, observation, is_reset=False)

    def message(self) -> str:
        """Return what is sent to whoever looks on."""
        self._state.action_logs = list(self._steps)
        return encode({"type": "state_update", "episode_state": self._state}).decode()
