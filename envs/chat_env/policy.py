"""A policy for the scripts that come with the environment: it knows what they ask.

Not a model: what a perfect reply to each of their lines earns is the ceiling that models are below.
"""

from __future__ import annotations

from typing import Any

from .models import ChatAction, ChatObservation

TASKS: dict[str, dict[str, Any]] = {"the scripts": {}}
"Options of reset, by what they make of an episode."

EPISODES = 60
"How many are needed to tell it from chance: the seed draws one of six scripts."

REPLIES = {
    "What is 17 + 25?": "42",
    "And twice that?": "84",
    "What is the capital of France?": "Paris",
    "On which river does it lie?": "The Seine",
    "Spell the word 'rhythm' backwards.": "mhtyhr",
    'Reply with a JSON object that has the key "ok" and the value true.': '{"ok": true}',
    "Good morning!": "Guten Morgen!",
    "See you tomorrow.": "Bis morgen!",
    "What was my name?": "Ada",
}


def sample_policy(observation: ChatObservation) -> ChatAction:
    """Return the reply to what was said last."""
    asked = observation.messages[-1]["content"]
    return ChatAction(message=REPLIES.get(asked, "You are welcome."))
