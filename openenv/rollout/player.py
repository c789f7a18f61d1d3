"""Player: plays one episode in a given session, from reset to its end, and records why it failed.

Knows nothing of other episodes: collect.py decides which is played where, and which again.
"""

from __future__ import annotations

import logging
import secrets
from time import perf_counter
from typing import TYPE_CHECKING, Any

from openenv.errors import OpenEnvError
from openenv.recording.format import VERSION, Cause, Episode, Turn
from openenv.rollout.policy import Completion, PolicyFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from openenv.client.env import EnvClient
    from openenv.models import StepResult
    from openenv.rollout.policy import Act
    from openenv.rollout.progress import Tally

logger = logging.getLogger("openenv.rollout")

POLICY_FAILED = "POLICY_FAILED"
"The error code of an episode that ended because its policy failed."

TICKS_PER_S = 1e7
"Recorded times are rounded to 1/TICKS_PER_S."

_MASK = 2**64 - 1


def episode_seed(seed: int, index: int) -> int:
    """Return the seed of an episode: from 0 to 2**31 - 1, so that every library takes it.

    The upper 31 bits of output number `index` (from 0) of SplitMix64 seeded with `seed`.
    """
    mixed = (seed + (index + 1) * 0x9E3779B97F4A7C15) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return (mixed ^ (mixed >> 31)) >> 33


class Player:
    """Plays episodes of one run. `acting` is what `acting_by_episode` yields."""

    def __init__(
        self,
        acting: Callable[[str, int | None], AbstractAsyncContextManager[Act]],
        tally: Tally,
        *,
        max_turns: int | None,
        seed: int | None,
        timeout_s: float | None,
        reset_options: Mapping[str, Any],
    ) -> None:
        self._acting = acting
        self._tally = tally
        self._max_turns = max_turns
        self._seed = seed
        self._timeout_s = timeout_s
        self._reset_options = reset_options
        self.id_prefix = secrets.token_hex(4)
        "The beginning of the ids of all episodes of the run."

    async def play(
        self, client: EnvClient[Any, Any, Any], index: int
    ) -> tuple[Episode, Exception | None]:
        """Return the episode as far as it was played, and the error that ended it early, if any."""
        episode = self.begin(index)
        failure: Exception | None = None
        try:
            async with self._acting(episode.episode_id, episode.seed) as act:
                result = await self._take_turns(client, episode, act)
            episode.ended = (
                "done" if result.done else "truncated" if result.truncated else "max_turns"
            )
        except OpenEnvError as error:
            failure = error
            self.fail(episode, error, error.code)
        except PolicyFailed as error:
            failure = error
            self.fail(episode, error, POLICY_FAILED)
        episode.length = len(episode.turns)
        episode.return_ = sum((turn.reward or 0.0 for turn in episode.turns), 0.0)
        return episode, failure

    async def _take_turns(
        self, client: EnvClient[Any, Any, Any], episode: Episode, act: Act
    ) -> StepResult[Any]:
        turns, max_turns, tally = episode.turns, self._max_turns, self._tally
        began_s = perf_counter()
        result = await client.reset(episode.seed, episode.episode_id, **self._reset_options)
        now_s = perf_counter()
        episode.reset_latency_s = _ticks(now_s - began_s)
        episode.final_observation = result.observation
        while not (result.done or result.truncated) and len(turns) != max_turns:
            observation, began_s = result.observation, now_s
            answer = await act(observation)
            acted_s = perf_counter()
            action = answer.action if isinstance(answer, Completion) else answer
            result = await client.step(action, self._timeout_s)
            now_s = perf_counter()
            turns.append(_turn(observation, answer, result, now_s - acted_s, acted_s - began_s))
            tally.steps += 1
            episode.final_observation = result.observation
        return result

    def begin(self, index: int) -> Episode:
        """Return an episode of which nothing is known yet."""
        return Episode(
            version=VERSION,
            episode=index,
            episode_id=f"{self.id_prefix}-{index}",
            seed=None if self._seed is None else episode_seed(self._seed, index),
            turns=[],
            return_=0.0,
            length=0,
            ended="failed",
        )

    @staticmethod
    def fail(episode: Episode, error: Exception, code: str) -> None:
        """Note why the episode failed."""
        kind = getattr(error, "remote_type", None) or type(error).__name__
        episode.error = Cause(code, str(error), kind)
        logger.debug("episode %d failed", episode.episode, exc_info=error)


def _turn(
    observation: Any, answer: Any, result: StepResult[Any], latency_s: float, policy_s: float
) -> Turn:
    outcome = (result.reward, result.done, result.truncated, result.metadata)
    times = (_ticks(latency_s), _ticks(policy_s))
    if not isinstance(answer, Completion):
        return Turn(observation, answer, *outcome, None, None, None, None, *times)
    tokens = (answer.completion_token_ids, answer.logprobs, answer.loss_mask)
    return Turn(observation, answer.action, *outcome, answer.prompt_token_ids, *tokens, *times)


def _ticks(took_s: float) -> float:
    # A quarter of the time that `round` takes, and this is done twice for each step.
    return int(took_s * TICKS_PER_S) / TICKS_PER_S
