"""What the coding environment takes and gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from openenv.models import Action, Observation, State

EXAMPLES = ["x = 6 * 7\nx", "print('hello')", "sorted({'b': 1, 'a': 2})"]


@dataclass(kw_only=True)
class CodeAction(Action):
    """A snippet of Python, run where the last one has left its variables."""

    code: Annotated[str, Meta(examples=EXAMPLES)]
    timeout: Annotated[float, Meta(gt=0, le=300, examples=[30.0])] = 30.0
    "Seconds; a snippet that takes longer is ended, with exit code -1."
    files: Annotated[list[str], Meta(max_length=64, examples=[[]])] = field(default_factory=list)
    "Files of the episode's folder to be returned with the observation."


@dataclass(kw_only=True)
class CodeObservation(Observation):
    """What came of a snippet."""

    stdout: str = ""
    stderr: str = ""
    "What the snippet has printed there, its traceback, and what the sandbox says of its end."
    exit_code: int = 0
    value: str | None = None
    "repr() of the last line, if that is an expression and not None."
    error: str | None = None
    "The class of the exception that ended it."
    variables_lost: bool = False
    "The interpreter had to be ended: the next snippet finds neither variables nor files."
    files: dict[str, str] = field(default_factory=dict)
    "Those that were asked for, as text; bytes that are no UTF-8 become U+FFFD."
    tests_passed: int | None = None
    "None without tests."
    tests_total: int | None = None
    warnings: list[str] = field(default_factory=list)
    "What is wrong with the code before it runs, where the server looks for it."


@dataclass(kw_only=True)
class CodeState(State):
    """How far the episode is."""

    last_exit_code: int = 0
    tests_total: int = 0
    isolation: str = ""
    "What keeps the code from the server: see the README."
