"""A policy for a first look: it clicks what the goal names, and remembers nothing."""

from __future__ import annotations

import re

from .models import BrowserGymAction, BrowserGymObservation

TASKS = {name: {"task_name": name} for name in ("click-button", "click-link", "click-dialog-2")}
"Options of reset, by what they make of an episode."

MAX_TURNS = 5

_QUOTED = re.compile(r'"([^"]+)"')
_ELEMENT = re.compile(r'<\w+ [^>]*?\bbid="(\w+)"[^>]*>\s*([^<]*[^<\s])\s*<')


def sample_policy(observation: BrowserGymObservation) -> BrowserGymAction:
    """Click the text that the goal quotes, or else mentions, or else what can be clicked first."""
    elements = [(bid, text.lower()) for bid, text in _ELEMENT.findall(observation.pruned_html)]
    quoted = {text.lower().strip() for text in _QUOTED.findall(observation.goal)}
    mentioned = set(re.findall(r"\w+", observation.goal.lower()))
    for named in (quoted, mentioned):
        for bid, text in elements:
            if text in named:
                return BrowserGymAction(action_str=f"click({bid!r})")
    return BrowserGymAction(action_str=next(iter(observation.clicks), "noop(0)"))
