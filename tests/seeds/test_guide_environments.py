"""003: the implementation guide, its examples of environments, streaming and practices."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from openenv.app import create_app
from openenv.client.generic import GenericEnvClient
from openenv.environment import Environment
from openenv.errors import ConfigurationError
from tests.seeds.conftest import Load, sample
from tests.serving import serving

# What the samples use without importing or defining it.
IMPORTS = """
from dataclasses import dataclass
from openenv.core.env_server import Environment
"""

RUN_PYTHON = """
import subprocess, sys
from types import SimpleNamespace

def execute_code_safely(code, timeout):
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                              timeout=timeout)
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    return SimpleNamespace(stdout=done.stdout, stderr=done.stderr, exit_code=done.returncode)
"""

# A tokenizer of bytes, and a partner who says everything backwards.
TALK = """
class Bytes:
    def __init__(self, name):
        self.name = name
    def encode(self, text):
        return list(text.encode())
    def decode(self, tokens):
        return bytes(tokens).decode()

load_tokenizer = Bytes

def generate_response(history):
    return history[-1][::-1]

def calculate_reward(response):
    return len(response) / 10
"""


@asynccontextmanager
async def playing(env: Any, *payload_classes: Any) -> AsyncIterator[GenericEnvClient]:
    async with serving(create_app(env, *payload_classes)) as url, GenericEnvClient(url) as client:
        yield client


async def test_003_echo_has_other_fields_and_a_dict_for_state(load: Load) -> None:
    # `time` is not imported. Its fields are not those of envs/echo_env, which 002 describes.
    echo = load("echo", "import time\n" + sample("003_echo.txt"))
    async with playing(echo.EchoEnvironment) as env:
        first = await env.reset()
        assert first.observation["echo"] == "Ready"
        result = await env.step({"message": "hi"})
        assert result.observation["echo"] == "Echo: hi"
        assert result.observation["timestamp"] >= first.observation["timestamp"] > 0
        assert (result.reward, result.done) == (None, False)
        assert await env.state() == {"status": "running"}


async def test_003_coding_has_a_timeout_in_each_action(load: Load) -> None:
    # Besides imports it lacks reset and what runs the code.
    reset = "    def reset(self):\n        return CodeObservation('', '', 0, False)\n"
    coding = load("coding", IMPORTS + RUN_PYTHON + sample("003_coding.txt") + reset)
    classes = coding.CodeAction, coding.CodeObservation
    async with playing(coding.CodingEnvironment, *classes) as env:
        await env.reset()
        result = await env.step({"code": "print('Hello, World!')"})
        assert result.observation["stdout"] == "Hello, World!\n"
        assert (await env.step({"code": "raise SystemExit(3)"})).observation["exit_code"] == 3
        late = await env.step({"code": "while True: pass", "timeout": 0.2})
        assert late.observation["exit_code"] == -1
        assert late.observation["stderr"] == "Execution timed out"
        assert (await env.step({"code": "print(1)"})).observation["stdout"] == "1\n"


async def test_003_chat_is_made_by_a_partial(load: Load) -> None:
    # Besides imports it lacks reset, the tokenizer and whom to talk to.
    reset = "    def reset(self):\n        return ChatObservation([], 0.0, False)\n"
    source = IMPORTS + TALK + sample("003_chat.txt") + reset
    chat = load("chat", source + "from functools import partial\n")
    factory = chat.partial(chat.ChatEnvironment, tokenizer_name="bytes")
    async with playing(factory, chat.ChatAction, chat.ChatObservation) as env:
        await env.reset()
        for turn in range(1, 11):
            result = await env.step({"tokens": list(b"abc")})
            assert result.observation["response_tokens"] == list(b"cba")
            assert (result.reward, result.done) == (0.3, turn == 10)


def test_003_chat_as_a_class_lacks_its_argument(load: Load) -> None:
    chat = load("chat", IMPORTS + TALK + sample("003_chat.txt"))
    with pytest.raises(ConfigurationError, match="tokenizer_name"):
        create_app(chat.ChatEnvironment, chat.ChatAction, chat.ChatObservation)


class Countdown(Environment[dict[str, Any], dict[str, Any]]):
    """A step streams each number."""

    def reset(self) -> dict[str, Any]:
        return {"left": 0}

    def step(self, action: dict[str, Any]) -> Any:
        for left in range(action["number"], -1, -1):
            yield {"left": left}


async def test_003_streaming_yields_observations_as_they_come(load: Load) -> None:
    # The class of the action is named in an annotation and not imported.
    streaming = load("streaming", "MyAction = dict\n" + sample("003_streaming.txt"))
    async with serving(create_app(Countdown)) as url, streaming.MyStreamingEnv(url) as env:
        await env.reset()
        seen = [observation async for observation in env.stream_step({"number": 3})]
        assert [observation["left"] for observation in seen] == [3, 2, 1, 0]
        assert (await env.step({"number": 1})).observation["left"] == 0


async def test_003_practices_make_an_environment(load: Load) -> None:
    # Three fragments: an action, a step, a state. An environment is what they are fragments of.
    before = """
@dataclass
class MyObservation:
    result: str
    success: bool = True
    error: str = ""

MyAction = Action
"""
    after = """
class MyEnvironment(Environment[Action, MyObservation, MyState]):
    def reset(self) -> MyObservation:
        self._state = MyState()
        return MyObservation(result="ready")

    step = step

    def _process(self, action):
        self._state.last_action = action.command
        self._state.step_count += 1
        return action.command * (10 // action.count)

    @property
    def state(self):
        return self._state
"""
    practices = load(
        "practices",
        IMPORTS
        + sample("003_practices_types.txt")
        + before
        + sample("003_practices_errors.txt")
        + sample("003_practices_state.txt")
        + after,
    )
    async with playing(practices.MyEnvironment) as env:
        assert (await env.reset()).observation["success"]
        assert (await env.step({"command": "a", "count": 5})).observation["result"] == "aa"
        failed = (await env.step({"command": "b"})).observation
        assert (failed["success"], failed["result"]) == (False, "")
        assert "division" in failed["error"]
        assert await env.state() == {
            "accumulated_reward": 0.0,
            "last_action": "b",
            "step_count": 2,
        }
