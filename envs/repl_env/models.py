"""What the REPL environment takes and gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from openenv.models import Action, Observation, State

EXAMPLES = ["len(context)", "context[:100]", "lines = context.splitlines()\nlen(lines)"]


@dataclass(kw_only=True)
class REPLAction(Action):
    """A block of Python, or the answer, or both: then the code runs first."""

    code: Annotated[str, Meta(examples=EXAMPLES)] = ""
    is_final: Annotated[bool, Meta(examples=[False])] = False
    final_answer: str | None = None
    "What counts if `is_final`; without it, what the code has given."
    timeout: Annotated[float, Meta(gt=0, le=300, examples=[30.0])] = 30.0
    "Seconds for the code, without what the language model takes."


@dataclass(kw_only=True)
class CodeBlockResult:
    """What came of a block of code."""

    stdout: str = ""
    stderr: str = ""
    exit_code: int = 0
    value: str | None = None
    "repr() of the last line, if that is an expression and not None."
    error: str | None = None
    queries: int = 0
    "How often it has asked the language model."


@dataclass(kw_only=True)
class REPLObservation(Observation):
    """What came of the code, and what there is to work with."""

    result: CodeBlockResult | None = None
    context_preview: str = ""
    context_length: int = 0
    available_variables: list[str] = field(default_factory=list)
    iteration: int = 0
    max_iterations: int = 0
    final_answer: str | None = None


@dataclass(kw_only=True)
class REPLState(State):
    """The task, and how far it is."""

    context: str = ""
    task_prompt: str = ""
    iteration: int = 0
    namespace_keys: list[str] = field(default_factory=list)
    final_answer: str | None = None
    total_execution_time: float = 0.0
    "Seconds."
