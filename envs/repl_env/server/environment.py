"""REPLEnvironment: a long context as a variable of Python, worked on until there is an answer.

The code runs in a sandbox (openenv/sandbox); what it may ask outside is in llm.py.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from openenv.environment import Environment
from openenv.errors import ConfigurationError
from openenv.models import EnvironmentInfo
from openenv.sandbox import Limits, Outcome, Sandbox, SandboxError

from ..models import CodeBlockResult, REPLAction, REPLObservation, REPLState
from .llm import Completes, Queries
from .rewards import ExpectedAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openenv.rubrics import Rubric

MIB = 1 << 20
LIMITS = Limits(file_bytes=32 * MIB, disk_bytes=64 * MIB, value_chars=100_000)
PREVIEW_CHARS = 500
SETUP_S = 30.0
# What an episode begins with, besides the functions that are called outside.
PRELUDE = """
with open("context.txt", encoding="utf-8", newline="") as _file:
    context = _file.read()
answer = {"content": "", "ready": False}

def FINAL(value):
    _final(str(value))

def FINAL_VAR(name):
    FINAL(globals()[name])
"""
# The variables that there are, and the answer if it is ready.
LOOK = """
(sorted(name for name in list(globals()) if not name.startswith("_") and name not in HIDDEN),
 str(answer["content"]) if answer["ready"] else None)
"""
FUNCTIONS = ("FINAL", "FINAL_VAR", "llm_query", "llm_query_batched")


class REPLEnvironment(Environment[REPLAction, REPLObservation, REPLState]):
    """An episode works on the `context` that reset was given, in at most `max_iterations` blocks.

    It is done with an answer: by `FINAL(value)`, `FINAL_VAR("name")` or `answer["ready"] = True` in
    the code, or by the action's `is_final`. `llm` is asked by `llm_query(prompt)` and
    `llm_query_batched(prompts)`, at most `max_queries` times. Raises ConfigurationError where there
    can be no sandbox.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(
        self,
        llm: Completes | None = None,
        packages: Sequence[str] = ("numpy",),
        limits: Limits = LIMITS,
        isolation: str | None = None,
        rubric: Rubric | None = None,
        transform: Any = None,
        max_iterations: int = 30,
        max_queries: int = 1000,
    ) -> None:
        super().__init__(transform, rubric or ExpectedAnswer())
        self.llm, self.max_iterations, self.max_queries = llm, max_iterations, max_queries
        try:
            self._sandbox = Sandbox(tuple(packages), limits, isolation)
        except (SandboxError, ValueError) as error:
            raise ConfigurationError(str(error)) from error
        self._begin("", "", None)

    def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        context: str = "",
        task_prompt: str = "",
        expected_answer: str | None = None,
        max_iterations: int | None = None,
    ) -> REPLObservation:
        """Begin with a context, and a task that is about it."""
        self._begin(context, task_prompt, max_iterations)
        self._state.episode_id = episode_id
        self._sandbox.restart(seed)
        self._prepare()
        self._reset_rubric()
        if isinstance(self.rubric, ExpectedAnswer):
            self.rubric.expected = expected_answer
        self._look()
        return self._observe(None)

    def step(self, action: REPLAction) -> REPLObservation:
        """Run a block of code; take an answer."""
        state = self._state
        state.iteration += 1
        state.step_count += 1
        result = self._run(action) if action.code else None
        if action.is_final and action.final_answer is not None:
            state.final_answer = action.final_answer
        observation = self._observe(result)
        observation.done = state.final_answer is not None or action.is_final
        observation.truncated = not observation.done and state.iteration >= self._most_iterations
        observation.reward = self._apply_rubric(action, observation)
        return self._apply_transform(observation)

    @property
    def state(self) -> REPLState:
        """The task, and how far it is."""
        self._state.episode_id = self.episode_id
        return self._state

    def get_metadata(self) -> EnvironmentInfo:
        """Say what confines the code, too."""
        layers = ", ".join(self._sandbox.layers)
        return EnvironmentInfo(
            name="repl_env",
            description=f"Python over a context, confined by {self._sandbox.isolation}: {layers}",
            version="1.0.0",
        )

    def close(self) -> None:
        """End the interpreter."""
        self._sandbox.close()

    def _begin(self, context: str, task_prompt: str, max_iterations: int | None) -> None:
        if max_iterations is not None and max_iterations < 1:
            raise ValueError(f"max_iterations must be positive, not {max_iterations}")
        self._most_iterations = max_iterations or self.max_iterations
        self._queries = Queries(self.llm, self.max_queries)
        self._state = REPLState(context=context, task_prompt=task_prompt)

    def _prepare(self) -> None:
        """Give an empty interpreter what an episode begins with."""
        data = self._state.context.encode("utf-8", "replace")
        try:
            self._sandbox.write_file("context.txt", data)
        except OSError as error:
            raise ValueError(f"the context is too long: {error}") from None
        self._sandbox.run(f"HIDDEN = {(*FUNCTIONS, 'HIDDEN', 'answer')!r}\n{PRELUDE}", SETUP_S)

    def _run(self, action: REPLAction) -> CodeBlockResult:
        asked_before = self._queries.count
        functions: dict[str, Callable[..., Any]] = {
            "llm_query": self._queries.query,
            "llm_query_batched": self._queries.query_batched,
            "_final": self._take_answer,
        }
        outcome = self._sandbox.run(action.code, action.timeout, functions)
        self._state.total_execution_time += outcome.duration_s
        if outcome.variables_lost:
            self._prepare()
        self._look()
        return _result(outcome, self._queries.count - asked_before)

    def _take_answer(self, value: str) -> None:
        self._state.final_answer = str(value)

    def _look(self) -> None:
        """See which variables there are, and whether the answer is ready."""
        outcome = self._sandbox.run(LOOK, SETUP_S)
        try:
            names, ready = ast.literal_eval(outcome.value or "([], None)")
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            return  # the code has changed what it is seen by; it is its own answer that is lost
        self._state.namespace_keys = [str(name) for name in names]
        if ready is not None:
            self._state.final_answer = str(ready)

    def _observe(self, result: CodeBlockResult | None) -> REPLObservation:
        state = self._state
        return REPLObservation(
            result=result,
            context_preview=state.context[:PREVIEW_CHARS],
            context_length=len(state.context),
            available_variables=list(state.namespace_keys),
            iteration=state.iteration,
            max_iterations=self._most_iterations,
            final_answer=state.final_answer,
            metadata={
                "isolation": self._sandbox.isolation,
                "layers": list(self._sandbox.layers),
            },
        )


def _result(outcome: Outcome, queries: int) -> CodeBlockResult:
    return CodeBlockResult(
        stdout=outcome.stdout,
        stderr=outcome.stderr,
        exit_code=outcome.exit_code,
        value=outcome.value,
        error=outcome.error,
        queries=queries,
    )
