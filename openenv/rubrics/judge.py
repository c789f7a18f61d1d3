"""LLMJudge: a rubric that asks a language model. Which model, and how, is the client's affair."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any, Protocol

from tenacity import (
    AsyncRetrying,
    before_sleep_log,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from openenv.errors import ConfigurationError
from openenv.rubrics.base import Rubric

logger = logging.getLogger("openenv.rubrics")

FIRST_NUMBER = r"(-?\d*\.?\d+)"
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 20.0
_MISTAKES = (TypeError, AttributeError, NameError)
"What a client raises that is wrong itself: asking again does not mend it."


class CompletionClient(Protocol):
    """What answers a prompt; the clients of `openenv.llm` do."""

    async def complete(self, prompt: str, **options: Any) -> str:
        """Return the model's answer."""


class LLMJudge(Rubric):
    """Asks a model for a score, and takes the first number of its answer.

    `prompt_template` is a format string of `action` and `observation`, and may name their fields:
    `"Question: {observation.prompt} Answer: {action.message} Score from 0 to 1:"`. With `normalize`
    a score is cut to 0..1. An answer without a number counts as `default_score`.
    """

    STATE = ("prompt_template", "score_pattern", "default_score", "normalize")

    def __init__(
        self,
        prompt_template: str,
        client: CompletionClient,
        *,
        score_pattern: str | None = None,
        default_score: float = 0.0,
        normalize: bool = True,
        timeout_s: float = 60.0,
        attempts: int = 3,
    ) -> None:
        """Take a regular expression for the score, too, whose first group counts if it has one.

        Each attempt may take `timeout_s`; the next one is made after a pause, which is drawn, from
        a range that grows: of many judges not all ask again at once. Raises ConfigurationError.
        """
        self.prompt_template = prompt_template
        self.score_pattern = FIRST_NUMBER if score_pattern is None else score_pattern
        self.default_score, self.normalize = default_score, normalize
        self._client = client
        if attempts < 1:
            raise ConfigurationError(f"attempts must be at least 1, not {attempts}")
        if not timeout_s > 0:
            raise ConfigurationError(f"timeout_s must be above 0, not {timeout_s}")
        self._timeout_s, self._attempts = timeout_s, attempts
        try:
            re.compile(self.score_pattern)
        except re.error as error:
            raise ConfigurationError(f"score_pattern {score_pattern!r}: {error}") from error

    async def forward(self, action: Any, observation: Any) -> float:
        """Return the model's score.

        Raises ConfigurationError for the template, and what the client raised at last.
        """
        return self._score(await self._answer(self._prompt(action, observation)))

    def _prompt(self, action: Any, observation: Any) -> str:
        try:
            return self.prompt_template.format(action=action, observation=observation)
        except (LookupError, AttributeError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"the prompt_template asks for what is not there ({error}); it may name "
                "{action}, {observation} and their fields, and doubles other braces"
            ) from error

    async def _answer(self, prompt: str) -> str:
        attempts = AsyncRetrying(
            stop=stop_after_attempt(self._attempts),
            retry=retry_if_exception(_may_pass),
            wait=wait_random_exponential(_FIRST_PAUSE_S, _LONGEST_PAUSE_S),
            before_sleep=before_sleep_log(logger, logging.WARNING),
            reraise=True,
        )
        async for attempt in attempts:
            with attempt:
                answer = await self._ask(prompt)
        return str(getattr(answer, "content", answer))

    async def _ask(self, prompt: str) -> Any:
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                return await self._client.complete(prompt)
        except TimeoutError as error:
            if not limit.expired():
                raise  # the client's own
            raise TimeoutError(f"the model took longer than {self._timeout_s:g} s") from error

    def _score(self, answer: str) -> float:
        match = re.search(self.score_pattern, answer)
        try:
            score = float(match.group(1 if match.re.groups else 0)) if match else None
        except ValueError:
            score = None
        if score is None:
            logger.warning("a judge's answer has no score in it: %.200s", answer)
            return self.default_score
        return min(1.0, max(0.0, score)) if self.normalize else score


def _may_pass(error: BaseException) -> bool:
    """Whether it may go better another time, as far as an error says so."""
    is_mistake = isinstance(error, _MISTAKES) or not isinstance(error, Exception)
    return not is_mistake and bool(getattr(error, "retryable", True))
