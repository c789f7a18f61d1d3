"""The coding environment: episodes through a real server, and what snippets may do wrong."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx
import pytest

from envs.coding_env import CodeAction, CodeObservation, CodingEnv
from envs.coding_env.server.app import app
from envs.coding_env.server.environment import CodingEnvironment
from envs.coding_env.server.rewards import Lint, Runs, Style, TestsPass
from openenv.app import create_app
from openenv.errors import ConfigurationError, EnvironmentFault, PayloadError
from openenv.rubrics import RubricDict, WeightedSum
from tests.serving import serving


@asynccontextmanager
async def playing(served: Any = app) -> AsyncIterator[CodingEnv]:
    async with serving(served) as url, CodingEnv(url) as env:
        yield env


async def test_an_episode_keeps_variables_from_snippet_to_snippet() -> None:
    async with playing() as env:
        first = await env.reset()
        assert first.observation.metadata["isolation"] == "landlock"
        assert (first.reward, first.done) == (None, False)
        await env.step(CodeAction(code="x = 20"))
        result = await env.step(CodeAction(code="print('x is', x)\nx + 1"))
        assert result.observation.stdout == "x is 20\n"
        assert result.observation.value == "21"
        assert (result.observation.exit_code, result.reward) == (0, 0.0)
        state = await env.state()
        assert (state.step_count, state.last_exit_code) == (2, 0)
        assert state.episode_id is not None
        await env.reset()
        lost = await env.step(CodeAction(code="x"))
        assert lost.observation.error == "NameError"


async def test_the_server_says_what_confines_the_code() -> None:
    async with serving(app) as url, httpx.AsyncClient(base_url=url) as http:
        description = (await http.get("/metadata")).json()["description"]
    assert "confined by landlock" in description
    assert "seccomp" in description


async def test_sessions_do_not_see_each_other() -> None:
    async with serving(app) as url, CodingEnv(url) as one, CodingEnv(url) as other:
        await one.reset()
        await other.reset()
        await one.step(CodeAction(code="x = 1\nopen('x', 'w').write('1')"))
        result = await other.step(CodeAction(code="import os\nos.listdir(), 'x' in globals()"))
        assert result.observation.value == "([], False)"


async def test_tests_reward_a_snippet_that_stands_alone() -> None:
    async with playing() as env:
        await env.reset(tests=["assert square(3) == 9", "square(-2) == 4", "square(0.5) < 1"])
        half = await env.step(CodeAction(code="def square(x):\n    return 4 if x == -2 else 1"))
        assert (half.observation.tests_passed, half.observation.tests_total) == (1, 3)
        assert half.reward == pytest.approx(1 / 3)
        whole = await env.step(CodeAction(code="def square(x):\n    return x * x"))
        assert (whole.reward, whole.done) == (1.0, True)


@pytest.mark.parametrize(
    "code",
    [
        "class Equal:\n    def __eq__(self, other):\n        return True\n"
        "def square(x):\n    return Equal()",
        "import sys\nsys.exit(0)",
        "import os\nos._exit(0)",
        "raise SystemExit",
        "def square(x):\n    raise SystemExit(0)",
        "def square(x):\n    import os\n    os._exit(0)",
    ],
)
async def test_code_does_not_pass_tests_by_deceit(code: str) -> None:
    async with playing() as env:
        await env.reset(tests=["assert square(3) == 9"])
        result = await env.step(CodeAction(code=code))
        assert (result.reward, result.done) == (0.0, False)


async def test_what_an_earlier_snippet_has_prepared_does_not_help_a_later_one() -> None:
    async with playing() as env:
        await env.reset(tests=["f() == 1"], files={"data.txt": "1"})
        await env.step(CodeAction(code="open('data.txt', 'w').write('2')"))
        result = await env.step(CodeAction(code="f = lambda: int(open('data.txt').read())\nf()"))
        assert result.observation.value == "2"
        assert result.reward == 1.0


async def test_files_go_into_the_episode_and_out_of_it() -> None:
    async with playing() as env:
        await env.reset(files={"in/data.txt": "grün"}, setup="import os\nos.listdir('in')")
        action = CodeAction(
            code="open('out.txt', 'w').write(open('in/data.txt').read() * 2)",
            files=["out.txt", "nowhere", "/etc/passwd"],
        )
        observation = (await env.step(action)).observation
        assert observation.files == {"out.txt": "grüngrün"}
        assert "nowhere" in observation.stderr
        assert "Permission denied" in observation.stderr


async def test_a_timeout_is_said_and_what_survives_it_too() -> None:
    async with playing() as env:
        await env.reset()
        await env.step(CodeAction(code="x = 1"))
        late = (await env.step(CodeAction(code="while True: pass", timeout=0.1))).observation
        assert late.exit_code == -1
        assert "Execution timed out" in late.stderr
        assert not late.variables_lost
        assert (await env.step(CodeAction(code="x"))).observation.value == "1"
        stubborn = "import signal\nsignal.signal(2, signal.SIG_IGN)\nwhile True: pass"
        late = (await env.step(CodeAction(code=stubborn, timeout=0.1))).observation
        assert (late.exit_code, late.variables_lost) == (-1, True)
        assert "lost" in late.stderr
        assert (await env.step(CodeAction(code="x"))).observation.error == "NameError"


async def test_a_seed_decides_random_numbers() -> None:
    code = CodeAction(code="import random, numpy\nrandom.random(), float(numpy.random.rand())")
    values = []
    async with playing() as env:
        for seed in (1, 1, 2, None, None):
            await env.reset(seed=seed)
            values.append((await env.step(code)).observation.value)
    assert values[0] == values[1]
    assert len(set(values)) == 4


@pytest.mark.parametrize(
    ("code", "exit_code", "error"),
    [
        ("print('a')\0", 1, "SyntaxError"),
        ("def f(:", 1, "SyntaxError"),
        ("'\ud800'.encode()", 1, "UnicodeEncodeError"),
        ("x" * (1 << 20) + "x", 1, "CodeTooLong"),
        ("import sys\nsys.exit(3)", 3, None),
        ("import sys\nsys.exit('why')", 1, None),
        ("def f():\n    f()\nf()", 1, "RecursionError"),
        ("(" * 100_000, 1, "SyntaxError"),
        ("", 0, None),
    ],
)
async def test_bad_code_is_a_result_and_no_fault(
    code: str, exit_code: int, error: str | None
) -> None:
    environment = CodingEnvironment()
    try:
        environment.reset()
        observation = environment.step(CodeAction(code=code))
        assert (observation.exit_code, observation.error) == (exit_code, error)
        assert bool(observation.stderr) == (exit_code == 1)
        assert environment.step(CodeAction(code="1")).value == "1"
    finally:
        environment.close()


async def test_ten_megabytes_of_output_are_cut() -> None:
    async with playing() as env:
        await env.reset()
        code = "import sys\nprint('first', 'x' * 10_000_000, 'last')\nprint(file=sys.stderr)"
        observation = (await env.step(CodeAction(code=code))).observation
        assert len(observation.stdout) < 101_000
        assert observation.stdout.startswith("first x")
        assert observation.stdout.endswith("x last\n")
        assert "bytes left out" in observation.stdout
        assert observation.stderr == "\n"


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), 1e9])
async def test_a_timeout_that_makes_no_sense_is_refused(timeout_s: float) -> None:
    async with playing() as env:
        await env.reset()
        with pytest.raises(PayloadError, match="timeout"):
            await env.step(CodeAction(code="1", timeout=timeout_s))
        assert (await env.step(CodeAction(code="1"))).observation.value == "1"


async def test_a_test_that_is_no_python_is_refused() -> None:
    async with playing() as env:
        with pytest.raises(EnvironmentFault, match="is no Python"):
            await env.reset(tests=["f(1) =="])


def test_a_package_that_is_missing_is_named_when_the_app_is_made() -> None:
    with pytest.raises(ConfigurationError, match="no_such_package"):
        create_app(partial(CodingEnvironment, packages=("no_such_package",)))


async def test_rewards_are_made_of_rubrics() -> None:
    rubric = WeightedSum([TestsPass(), Lint(), Style(), Runs()], [0.25] * 4)

    def make() -> CodingEnvironment:
        return CodingEnvironment(rubric=rubric, lint=True, max_steps=2)

    async with playing(create_app(make, CodeAction, CodeObservation)) as env:
        await env.reset(tests=["f() == 1"])
        result = await env.step(CodeAction(code="import os\ndef f():\n\treturn 2"))
        assert result.observation.warnings == ["line 1: 'os' imported but unused"]
        scores = [result.metadata[f"rubric.rubric_{number}"] for number in range(4)]
        assert scores == [0, 0.5, pytest.approx(2 / 3), 1]
        assert not result.truncated
        assert (await env.step(CodeAction(code="def f(:"))).truncated


def test_style_and_tests_have_a_value_for_nothing() -> None:
    rubrics = RubricDict({"style": Style(), "tests": TestsPass()})
    scores = [one(CodeAction(code=""), CodeObservation()) for one in rubrics.children()]
    assert scores == [1.0, 0.0]
