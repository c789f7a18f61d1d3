"""Rubrics: what a step, or a whole episode, is worth."""

from typing import TYPE_CHECKING, Any

from openenv.rubrics.base import Rubric
from openenv.rubrics.containers import Gate, RubricDict, RubricList, Sequential, WeightedSum
from openenv.rubrics.trajectory import ExponentialDiscountingTrajectoryRubric, TrajectoryRubric

if TYPE_CHECKING:
    from openenv.rubrics.judge import LLMJudge

__all__ = [
    "ExponentialDiscountingTrajectoryRubric",
    "Gate",
    "LLMJudge",
    "Rubric",
    "RubricDict",
    "RubricList",
    "Sequential",
    "TrajectoryRubric",
    "WeightedSum",
]


def __getattr__(name: str) -> Any:
    if name == "LLMJudge":
        # Late, because it alone needs tenacity.
        try:
            from openenv.rubrics.judge import LLMJudge  # noqa: PLC0415
        except ModuleNotFoundError as error:
            need = f"LLMJudge needs {error.name}: pip install 'openenv[judge]'"
            raise ModuleNotFoundError(need, name=error.name) from error
        return LLMJudge
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
