import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from openenv.errors import ConfigurationError
from openenv.rubrics import LLMJudge, judge


class Scripted:
    """A fake of a language model's client: gives its answers in turn; exceptions are raised."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.prompts: list[str] = []

    async def complete(self, prompt: str, **_: Any) -> Any:
        self.prompts.append(prompt)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            await asyncio.Event().wait()
        return answer


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "_FIRST_PAUSE_S", 0.001)


@pytest.mark.parametrize(
    ("answer", "options", "score"),
    [
        ("Score: 0.7", {}, 0.7),
        ("8/10", {}, 1.0),
        ("It is worth .5.", {}, 0.5),
        ("-0.5", {}, 0.0),
        ("1.", {}, 1.0),
        ("12", {"normalize": False}, 12.0),
        ("no idea", {}, 0.0),
        ("no idea", {"default_score": 0.5}, 0.5),
        ("a=1 score=0.4", {"score_pattern": r"score=([\d.]+)"}, 0.4),
        ("4 of 9", {"score_pattern": r"\d$", "normalize": False}, 9.0),
        ("score=...", {"score_pattern": r"score=([\d.]+)"}, 0.0),
        (SimpleNamespace(content="0.25"), {}, 0.25),
    ],
)
async def test_the_score_is_found_in_the_answer(answer: Any, options: Any, score: float) -> None:
    assert await LLMJudge("judge", Scripted(answer), **options)(None, None) == score  # type: ignore[misc]


async def test_the_prompt_names_fields_of_both() -> None:
    client = Scripted("1")
    rubric = LLMJudge("{observation.n} {action.text} {{json}}", client)
    await rubric(SimpleNamespace(text="hi"), SimpleNamespace(n=3))  # type: ignore[misc]
    assert client.prompts == ["3 hi {json}"]


@pytest.mark.parametrize("template", ["{question}", "{action.missing}", "{", "{0}", "{action[0]}"])
async def test_a_template_that_asks_for_what_is_not_there_is_said(template: str) -> None:
    with pytest.raises(ConfigurationError, match="prompt_template"):
        await LLMJudge(template, Scripted())(None, None)  # type: ignore[misc]


async def test_failures_and_silence_are_tried_again() -> None:
    client = Scripted(ConnectionError("lost"), None, "0.5")
    rubric = LLMJudge("judge", client, timeout_s=0.01)
    assert await rubric(None, None) == 0.5  # type: ignore[misc]
    assert len(client.prompts) == 3


async def test_the_clients_own_timeout_is_raised_as_it_is() -> None:
    with pytest.raises(TimeoutError, match="its own"):
        await LLMJudge("judge", Scripted(TimeoutError("its own")), attempts=1)(None, None)  # type: ignore[misc]


async def test_the_last_failure_is_raised() -> None:
    client = Scripted(ConnectionError("lost"), ConnectionError("lost again"))
    with pytest.raises(ConnectionError, match="lost again"):
        await LLMJudge("judge", client, attempts=2)(None, None)  # type: ignore[misc]


async def test_who_was_never_answered_is_told_after_how_long() -> None:
    with pytest.raises(TimeoutError, match=r"longer than 0.01 s"):
        await LLMJudge("judge", Scripted(None), attempts=1, timeout_s=0.01)(None, None)  # type: ignore[misc]


class ForGood(Exception):
    """What says itself that another attempt is in vain."""

    retryable = False


@pytest.mark.parametrize(
    "error", [TypeError("no such argument"), AttributeError("choices"), ForGood("no such model")]
)
async def test_what_will_not_pass_is_not_tried_again(error: Exception) -> None:
    client = Scripted(error, "0.5")
    with pytest.raises(type(error)):
        await LLMJudge("judge", client)(None, None)  # type: ignore[misc]
    assert len(client.prompts) == 1


@pytest.mark.parametrize("options", [{"attempts": 0}, {"timeout_s": 0}])
def test_a_judge_that_could_never_answer_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        LLMJudge("judge", Scripted(), **options)


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="score_pattern"):
        LLMJudge("judge", Scripted(), score_pattern="(")


def test_its_settings_are_its_state() -> None:
    assert LLMJudge("judge", Scripted()).state_dict() == {
        "prompt_template": "judge",
        "score_pattern": judge.FIRST_NUMBER,
        "default_score": 0.0,
        "normalize": True,
    }
