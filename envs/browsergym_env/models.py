"""What the browsergym environment takes and gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from openenv.models import Action, Observation, State


@dataclass(kw_only=True)
class BrowserGymAction(Action):
    """What is done in the browser: `click('12')`, or several such calls, one after another."""

    action_str: Annotated[
        str, Meta(min_length=1, max_length=20_000, extra_json_schema={"among": "clicks"})
    ]


@dataclass(kw_only=True)
class BrowserGymObservation(Observation):
    """The page that is shown; what reset's `observe` leaves out is empty."""

    goal: str = ""
    "What is to be done, in words."
    url: str = ""
    text: str = ""
    "What a language model reads: `axtree_txt`, or `pruned_html` if that alone is observed."
    axtree_txt: str = ""
    "The accessibility tree; what can be acted on has its bid in front: `[12] button 'OK'`."
    pruned_html: str = ""
    "The page's HTML without scripts, styles and other noise; elements have the attribute bid."
    screenshot: bytes | None = None
    "A PNG file. Coordinates in actions are its pixels."
    clicks: list[str] = field(default_factory=list)
    "Actions that click what can be clicked and is seen."
    open_pages_urls: list[str] = field(default_factory=list)
    "Of all tabs."
    active_page_index: int = 0
    "Which of them is shown."
    last_action_error: bool = False
    "Whether the action could not be done, or not whole."
    error: str = ""
    "Why."


@dataclass(kw_only=True)
class BrowserGymState(State):
    """What the task is, and how far it is."""

    benchmark: str = ""
    task_name: str = ""
    task_id: str = ""
    "BrowserGym's name of it: browsergym/miniwob.click-test."
    goal: str = ""
    current_url: str = ""
    max_steps: int = 0
    cum_reward: float = 0.0
