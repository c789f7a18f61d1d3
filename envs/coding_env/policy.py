"""A policy for a few small tasks: it reads what is asked, and knows a solution.

Not a model: the tasks show what an episode with tests is, and that they can be solved.
"""

from __future__ import annotations

from typing import Any

from .models import CodeAction, CodeObservation

MAX_TURNS = 4


def _task(asked: str, *tests: str) -> dict[str, Any]:
    """Return the options of an episode whose first observation says what is asked."""
    return {"setup": f"print({asked!r})", "tests": list(tests)}


TASKS = {
    "square": _task(
        "Write square(x), which returns x times x.",
        *("square(3) == 9", "square(-2) == 4", "square(0.5) == 0.25"),
    ),
    "is_prime": _task(
        "Write is_prime(n): whether the whole number n is prime.",
        *("is_prime(1) == False", "is_prime(2) == True", "is_prime(91) == False"),
        "is_prime(97) == True",
    ),
    "count_words": _task(
        "Write count_words(text): a dict of how often each word is in it, in small letters.",
        "count_words('To be or not to be') == {'to': 2, 'be': 2, 'or': 1, 'not': 1}",
        "count_words('') == {}",
    ),
}
"Options of reset, by what they make of an episode."

SOLUTIONS = {
    "square": """
def square(x):
    return x * x
""",
    "is_prime": """
def is_prime(n):
    return n > 1 and all(n % divisor for divisor in range(2, int(n**0.5) + 1))
""",
    "count_words": """
from collections import Counter

def count_words(text):
    return dict(Counter(text.lower().split()))
""",
}


def sample_policy(observation: CodeObservation) -> CodeAction:
    """Return the solution of the task that the first observation shows."""
    name = observation.stdout.removeprefix("Write ").partition("(")[0]
    return CodeAction(code=SOLUTIONS.get(name, "raise NotImplementedError"))
