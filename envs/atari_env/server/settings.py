"""Settings: what reset decides, checked before anything is touched."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from openenv.errors import ConfigurationError

from ..models import ObsType

Size = Annotated[int, Meta(ge=1, le=512)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a game is played. The defaults are those of Gymnasium's `ALE/*-v5`."""

    game_name: str = "pong"
    obs_type: ObsType = "rgb"
    frameskip: Annotated[int, Meta(ge=1, le=1000)] = 4
    "For how many frames each action is held."
    repeat_action_probability: Annotated[float, Meta(ge=0, le=1)] = 0.25
    "How likely each frame ignores the action and goes on with the one before: sticky actions."
    full_action_space: bool = False
    "All 18 positions of the joystick, or those alone that do something in the game."
    mode: int | None = None
    difficulty: int | None = None
    "None is the game's own."
    terminal_on_life_loss: bool = False
    noop_max: Annotated[int, Meta(ge=0, le=1000)] = 0
    "Up to how many frames pass before the episode begins; the seed draws how many."
    max_frames: Annotated[int, Meta(ge=1)] = 108_000
    "When the episode is truncated: after half an hour of play."
    max_pool: bool = False
    "Show the brighter of the last two frames, since many games draw things in every other."
    screen_size: Annotated[list[Size], Meta(min_length=2, max_length=2)] | None = None
    "Height and width that the picture is scaled to."
    frame_stack: Annotated[int, Meta(ge=1, le=64)] = 1
    "How many observations are shown at once, the oldest first; with 1 there is no such axis."

    def __post_init__(self) -> None:
        if self.screen_size is not None and self.obs_type != "grayscale":
            raise ValueError("screen_size is for obs_type='grayscale'")
        if self.max_pool and self.obs_type == "ram":
            raise ValueError("max_pool is for pictures, not for obs_type='ram'")


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
