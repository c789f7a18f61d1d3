"""The REPL environment: a context, code, a language model that is asked, and answers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from envs.repl_env import REPLAction, REPLEnv
from envs.repl_env.server.app import app
from envs.repl_env.server.environment import REPLEnvironment
from envs.repl_env.server.llm import AT_ONCE, ChatCompletions
from openenv.app import create_app
from openenv.errors import EnvironmentFault
from openenv.sandbox import Limits
from tests.serving import serving


class ScriptedLLM:
    """In place of a language model: says every prompt backwards, and counts how many at once."""

    def __init__(self) -> None:
        self.at_once = self.most_at_once = 0

    async def complete(self, prompt: str) -> str:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if prompt == "fail":
            raise ConnectionError("no route")
        return prompt[::-1]


@asynccontextmanager
async def playing(served: Any = app, **options: Any) -> AsyncIterator[REPLEnv]:
    if options:
        served = create_app(partial(REPLEnvironment, **options))
    async with serving(served) as url, REPLEnv(url) as env:
        yield env


async def test_an_episode_works_on_its_context_until_it_answers() -> None:
    async with playing() as env:
        context = "line\r\n" * 1000 + "the word is swordfish\n"
        first = await env.reset(
            context=context, task_prompt="which word?", expected_answer="Swordfish "
        )
        assert first.observation.context_length == len(context)
        assert first.observation.context_preview == context[:500]
        assert first.observation.available_variables == ["context"]
        result = await env.step(REPLAction(code="word = context.split()[-1]\nlen(context)"))
        assert result.observation.result is not None
        assert result.observation.result.value == str(len(context))
        assert result.observation.available_variables == ["context", "word"]
        assert (result.reward, result.done) == (0.0, False)
        result = await env.step(REPLAction(code="FINAL(word)"))
        assert result.observation.final_answer == "swordfish"
        assert (result.reward, result.done) == (1.0, True)
        state = await env.state()
        assert (state.iteration, state.task_prompt) == (2, "which word?")
        assert state.total_execution_time > 0


@pytest.mark.parametrize(
    ("action", "answer", "reward"),
    [
        (REPLAction(code="FINAL(1200)"), "1200", 1.0),
        (REPLAction(code="x = '1,200.0'\nFINAL_VAR('x')"), "1,200.0", 1.0),
        (REPLAction(code="answer['content'] = 1200\nanswer['ready'] = True"), "1200", 1.0),
        (REPLAction(is_final=True, final_answer=" 1200"), " 1200", 1.0),
        (REPLAction(code="FINAL(7)", is_final=True, final_answer="1200"), "1200", 1.0),
        (REPLAction(code="FINAL(1201)"), "1201", 0.0),
        (REPLAction(code="FINAL(float('nan'))"), "nan", 0.0),
        (REPLAction(is_final=True), None, 0.0),
    ],
)
async def test_an_answer_is_given_in_several_ways(
    action: REPLAction, answer: str | None, reward: float
) -> None:
    async with playing() as env:
        await env.reset(expected_answer="1,200")
        result = await env.step(action)
        assert result.observation.final_answer == answer
        assert (result.reward, result.done) == (reward, True)


async def test_code_asks_the_language_model() -> None:
    llm = ScriptedLLM()
    async with playing(llm=llm, max_queries=30) as env:
        await env.reset(context="abc")
        code = "llm_query(context), llm_query_batched([str(n) for n in range(10, 30)])[-1]"
        result = (await env.step(REPLAction(code=code))).observation.result
        assert result is not None
        assert (result.value, result.queries) == ("('cba', '92')", 21)
        assert 1 < llm.most_at_once <= AT_ONCE
        for call, error in (
            ("llm_query('fail')", "ConnectionError: no route"),
            ("llm_query(1)", "TypeError"),
            ("llm_query_batched('abc')", "TypeError"),
            ("llm_query_batched(['a'] * 10)", "OverflowError: an episode may ask 30 times"),
        ):
            result = (await env.step(REPLAction(code=call))).observation.result
            assert result is not None
            assert error in result.stderr


async def test_without_a_language_model_asking_says_so() -> None:
    async with playing() as env:
        await env.reset()
        result = (await env.step(REPLAction(code="llm_query('a')"))).observation.result
        assert result is not None
        assert "this server has no language model" in result.stderr


async def test_a_model_behind_an_api_is_asked() -> None:
    asked: list[tuple[str | None, Any]] = []

    async def answer(request: Request) -> JSONResponse:
        asked.append((request.headers.get("authorization"), json.loads(await request.body())))
        return JSONResponse({"choices": [{"message": {"content": "42"}}]})

    api = Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])
    async with serving(api) as url:
        llm = ChatCompletions(f"{url}/v1/", "tiny", "key")
        async with playing(llm=llm) as env:
            await env.reset(expected_answer="42")
            result = await env.step(REPLAction(code="FINAL(llm_query('?'))"))
    assert result.reward == 1.0
    message = {"role": "user", "content": "?"}
    assert asked == [("Bearer key", {"model": "tiny", "messages": [message]})]


async def test_an_episode_is_truncated_after_its_iterations() -> None:
    async with playing(max_iterations=5) as env:
        await env.reset(max_iterations=2)
        assert not (await env.step(REPLAction(code="1"))).truncated
        result = await env.step(REPLAction())
        assert (result.done, result.truncated, result.observation.result) == (False, True, None)
        first = await env.reset()
        assert first.observation.max_iterations == 5
        with pytest.raises(EnvironmentFault, match="max_iterations must be positive"):
            await env.reset(max_iterations=0)


async def test_the_context_is_back_after_the_interpreter_was_lost() -> None:
    async with playing() as env:
        await env.reset(context="kept")
        result = (await env.step(REPLAction(code="import os\nx = 1\nos._exit(3)"))).observation
        assert result.result is not None
        assert result.result.exit_code == 3
        assert result.available_variables == ["context"]
        assert (
            await env.step(REPLAction(code="FINAL(context)"))
        ).observation.final_answer == "kept"


@pytest.mark.parametrize("code", ["del answer", "answer = 5", "HIDDEN = 1", "globals().clear()"])
async def test_code_that_breaks_what_it_is_seen_by_goes_on(code: str) -> None:
    async with playing() as env:
        await env.reset()
        await env.step(REPLAction(code=code))
        result = await env.step(REPLAction(code="1 + 1", is_final=True, final_answer="2"))
        assert result.observation.result is not None
        assert result.observation.result.value == "2"
        assert result.observation.final_answer == "2"


async def test_a_context_that_is_too_long_is_refused() -> None:
    async with playing(limits=Limits(file_bytes=10)) as env:
        with pytest.raises(EnvironmentFault, match="the context is too long"):
            await env.reset(context="x" * 11)
        await env.reset(context="x" * 10)
