"""The rubric of the REPL environment: is the answer the expected one?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from openenv.rubrics import Rubric

if TYPE_CHECKING:
    from ..models import REPLAction, REPLObservation


class ExpectedAnswer(Rubric):
    """1 for the answer that reset was given, 0 for another, and before there is one.

    Spaces around it and capitals do not count; numbers are compared as numbers.
    """

    expected: str | None = None

    def forward(self, action: REPLAction, observation: REPLObservation) -> float:
        """Return it."""
        given = observation.final_answer
        if given is None or self.expected is None:
            return 0.0
        return float(_comparable(given) == _comparable(self.expected))


def _comparable(answer: str) -> float | str:
    try:
        return float(answer.strip().replace(",", ""))
    except ValueError:
        return answer.strip().casefold()
