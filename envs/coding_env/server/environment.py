"""CodingEnvironment: runs snippets of Python in a sandbox, and tests them.

What a sandbox is, and what it keeps from whom, is in openenv/sandbox.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openenv.environment import Environment
from openenv.errors import ConfigurationError
from openenv.models import EnvironmentInfo
from openenv.sandbox import Limits, Sandbox, SandboxError

from ..models import CodeAction, CodeObservation, CodeState
from .grading import Grader
from .interpreted import Interpreted
from .rewards import TestsPass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openenv.rubrics import Rubric

MAX_FILES = 64
EXECUTORS: dict[str, Any] = {"sandbox": Sandbox, "smolagents": Interpreted}


class CodingEnvironment(Environment[CodeAction, CodeObservation, CodeState]):
    """One interpreter per session, with an empty namespace and an empty folder per episode.

    An episode has tests if reset is given some. Then each snippet is also run alone and tested, the
    reward is by default the share of tests that pass, and the episode is done when all do.
    `max_steps` bounds the episode. `executor="smolagents"` runs all in an interpreter that confines
    nothing, and so needs `isolation="unsafe"`. Raises ConfigurationError where there can be no
    sandbox.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(
        self,
        packages: Sequence[str] = ("numpy",),
        limits: Limits | None = None,
        isolation: str | None = None,
        rubric: Rubric | None = None,
        transform: Any = None,
        lint: bool = False,
        max_steps: int | None = None,
        executor: str = "sandbox",
    ) -> None:
        super().__init__(transform, rubric or TestsPass())
        packages, limits = tuple(packages), limits or Limits()
        self.max_steps = max_steps
        if executor not in EXECUTORS:
            raise ConfigurationError(f"executor is {executor!r}: give {' or '.join(EXECUTORS)}")
        if lint and executor != "sandbox":
            raise ConfigurationError("lint needs executor='sandbox': pyflakes runs in it")
        try:
            self._sandbox = EXECUTORS[executor](packages, limits, isolation)
        except (SandboxError, ValueError) as error:
            raise ConfigurationError(str(error)) from error
        self._grader = Grader(packages, limits, isolation, EXECUTORS[executor], is_linting=lint)
        self._state = CodeState(isolation=self._sandbox.isolation)

    def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        tests: list[str] | None = None,
        files: dict[str, str] | None = None,
        setup: str = "",
    ) -> CodeObservation:
        """Begin with an empty interpreter, whose random numbers the seed decides.

        `files` are put into its folder, and `setup` is run, before the first snippet.
        """
        files = files or {}
        if len(files) > MAX_FILES:
            raise ValueError(f"an episode begins with at most {MAX_FILES} files, not {len(files)}")
        self._grader.begin(tests or [], files)
        self._sandbox.restart(seed)
        for path, text in files.items():
            self._sandbox.write_file(path, text.encode())
        self._reset_rubric()
        self._state = CodeState(
            episode_id=episode_id,
            tests_total=len(tests or []),
            isolation=self._sandbox.isolation,
        )
        return self._observe(CodeAction(code=setup)) if setup else self._finish(CodeObservation())

    def step(self, action: CodeAction) -> CodeObservation:
        """Run a snippet."""
        observation = self._observe(action)
        state = self._state
        state.step_count += 1
        state.last_exit_code = observation.exit_code
        passed, observation.warnings = self._grader.grade(action.code, action.timeout)
        if passed is not None:
            observation.tests_passed, observation.tests_total = passed, state.tests_total
            observation.done = passed == state.tests_total
        if self.max_steps is not None and state.step_count >= self.max_steps:
            observation.truncated = not observation.done
        observation.reward = self._apply_rubric(action, observation)
        return self._apply_transform(observation)

    @property
    def state(self) -> CodeState:
        """How far the episode is."""
        self._state.episode_id = self.episode_id
        return self._state

    def get_metadata(self) -> EnvironmentInfo:
        """Say what confines the code, too."""
        layers = ", ".join(self._sandbox.layers)
        return EnvironmentInfo(
            name="coding_env",
            description=f"Runs Python, confined by {self._sandbox.isolation}: {layers}",
            version="1.0.0",
        )

    def close(self) -> None:
        """End the interpreters."""
        self._sandbox.close()
        self._grader.close()

    def _observe(self, action: CodeAction) -> CodeObservation:
        """Run a snippet, and read the files that are asked for."""
        outcome = self._sandbox.run(action.code, action.timeout)
        observation = CodeObservation(
            stdout=outcome.stdout,
            stderr=outcome.stderr,
            exit_code=outcome.exit_code,
            value=outcome.value,
            error=outcome.error,
            variables_lost=outcome.variables_lost,
        )
        for path in action.files:
            try:
                data = self._sandbox.read_file(path)
            except OSError as error:
                observation.stderr += f"{error}\n"
            else:
                observation.files[path] = data.decode("utf-8", "replace")
        return self._finish(observation)

    def _finish(self, observation: CodeObservation) -> CodeObservation:
        observation.metadata = {
            "isolation": self._sandbox.isolation,
            "layers": list(self._sandbox.layers),
        }
        return observation
