"""Settings: what reset decides, checked before anything is touched."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from openenv.errors import ConfigurationError

Field = Literal["axtree_txt", "pruned_html", "screenshot", "clicks"]
Actions = Literal["chat", "infeas", "bid", "coord", "nav", "tab"]
Pixels = Annotated[int, Meta(ge=16, le=4096)]

FIRST_TASK = {"miniwob": "click-test", "openended": "openended"}
"What is played of a benchmark where no task is named."


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which task is played, and what is observed of it."""

    benchmark: str = "miniwob"
    task_name: str = ""
    start_url: str | None = None
    "Where an open-ended task begins."
    goal: str | None = None
    "What an open-ended task is about; BrowserGym has no judge for it."
    max_steps: Annotated[int, Meta(ge=1)] = 30
    "When the episode is truncated."
    observe: list[Field] = msgspec.field(
        default_factory=lambda: ["axtree_txt", "pruned_html", "clicks"]
    )
    actions: Annotated[list[Actions], Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: ["chat", "infeas", "bid", "coord", "nav", "tab"]
    )
    "BrowserGym's names of groups of actions."
    coordinates: bool = False
    "Say in the accessibility tree where things are, in pixels of the screenshot."
    settle_s: Annotated[float, Meta(ge=0, le=10)] = 0.1
    "How long pages have to answer an action before they are observed."
    viewport: Annotated[list[Pixels], Meta(min_length=2, max_length=2)] | None = None
    "Width and height of the page; None is the task's own."

    def __post_init__(self) -> None:
        is_open = self.benchmark == "openended"
        if is_open and not self.start_url:
            raise ValueError("benchmark='openended' needs a start_url")
        if not is_open and (self.start_url or self.goal):
            raise ValueError("start_url and goal are for benchmark='openended'")
        if not self.task_name:
            name = FIRST_TASK.get(self.benchmark, "")
            msgspec.structs.force_setattr(self, "task_name", name)


def settings_of(options: dict[str, Any], *, strict: bool = True) -> Settings:
    """Return the settings; not `strict` takes numbers that are written as text.

    Raises ConfigurationError, which says what is wrong and what there is.
    """
    try:
        return msgspec.convert(options, Settings, strict=strict)
    except msgspec.ValidationError as error:
        raise ConfigurationError(
            f"{error}. The options of reset are seed, {', '.join(Settings.__struct_fields__)}"
        ) from error
