"""What the atari environment takes and gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from openenv.models import Action, Observation, State

ObsType = Literal["rgb", "grayscale", "ram"]

_OPTIONAL = Meta(examples=[None])
"Nobody need give these, so nobody draws them."


@dataclass(kw_only=True)
class AtariAction(Action):
    """What the joystick does for one step: a number of the observation's `legal_actions`.

    The game is chosen by reset. What else is given must be what is played.
    """

    action_id: Annotated[int, Meta(ge=0, le=17, extra_json_schema={"among": "legal_actions"})]
    game_name: Annotated[str | None, _OPTIONAL] = None
    obs_type: Annotated[ObsType | None, _OPTIONAL] = None
    full_action_space: Annotated[bool | None, _OPTIONAL] = None


@dataclass(kw_only=True)
class AtariObservation(Observation):
    """What is on the screen, or in the console's memory."""

    screen: NDArray[np.uint8]
    "By `obs_type`: height x width x 3, height x width, or 128 bytes; before that the stack."
    screen_shape: list[int] = field(default_factory=list)
    legal_actions: list[int] = field(default_factory=list)
    action_names: list[str] = field(default_factory=list)
    "What each action does: NOOP, FIRE, UPRIGHTFIRE."
    lives: int = 0
    life_lost: bool = False
    "Whether this step cost a life."
    episode_frame_number: int = 0
    "Frames of the emulator since reset."
    frame_number: int = 0
    "The same, with what the console played before: it begins anew with each game."


@dataclass(kw_only=True)
class AtariState(State):
    """What is played, and how."""

    game_name: str = ""
    obs_type: ObsType = "rgb"
    full_action_space: bool = False
    mode: int = 0
    difficulty: int = 0
    repeat_action_probability: float = 0.0
    frameskip: int = 0
    available_modes: list[int] = field(default_factory=list)
    available_difficulties: list[int] = field(default_factory=list)
