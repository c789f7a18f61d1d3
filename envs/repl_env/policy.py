"""A policy for two kinds of contexts: it looks for a word, or adds up numbers.

Not a model: it shows what code over a context looks like, and that an answer ends an episode.
"""

from __future__ import annotations

from .models import REPLAction, REPLObservation

MAX_TURNS = 6

_LINES = "\n".join(f"line {number} says nothing" for number in range(5_000))
_NUMBERS = "\n".join(str(number * 7 % 1_000) for number in range(5_000))

TASKS = {
    "find a word": {
        "context": f"{_LINES}\nthe word is swordfish\n{_LINES}",
        "task_prompt": "Which word is it?",
        "expected_answer": "swordfish",
    },
    "add numbers": {
        "context": _NUMBERS,
        "task_prompt": "What do the numbers add up to?",
        "expected_answer": str(sum(map(int, _NUMBERS.split()))),
    },
}
"Options of reset, by what they make of an episode."

FIND = "import re\nFINAL(re.search(r'the word is (\\w+)', context).group(1))"
ADD = "FINAL(sum(map(int, context.split())))"


def sample_policy(observation: REPLObservation) -> REPLAction:
    """Return the block of code that answers what the beginning of the context lets expect."""
    return REPLAction(code=ADD if observation.context_preview[:1].isdigit() else FIND)
