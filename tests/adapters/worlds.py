"""Environments of Gymnasium whose spaces are told, registered under names of their own."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Mirror(gymnasium.Env[Any, Any]):
    """Shows samples of a space, and keeps what is done, of another one."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(self, act: Any, observe: Any, render_mode: str | None = None) -> None:
        self.action_space, self.observation_space = act, observe
        self.render_mode = render_mode
        self.done: list[Any] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {"options": options or {}}

    def step(self, action: Any) -> Any:
        self.done.append(action)
        info = {"count": np.int64(len(self.done)), "when": {np.float32(0.5)}, "who": object}
        return self.observation_space.sample(), np.float32(0.5), False, len(self.done) == 3, info

    def render(self) -> Any:
        return np.full((2, 3, 3), 7, np.uint8)


ROOM = spaces.Dict(
    {
        "image": spaces.Box(0, 255, (2, 2, 3), np.uint8),
        "direction": spaces.Discrete(4),
        "mission": spaces.Text(12, min_length=1),
    }
)


def make_room(**options: Any) -> Any:
    return Mirror(spaces.Box(-1, 1, (2,), np.float32), ROOM, **options)


def make_lamp(**options: Any) -> Any:
    return Mirror(spaces.Discrete(2), spaces.Graph(spaces.Discrete(2), None), **options)


class Doubled(gymnasium.RewardWrapper[Any, Any]):
    def reward(self, reward: Any) -> Any:
        return 2 * reward


def register() -> None:
    for name, make in (("test/Room-v0", make_room), ("test/Lamp-v0", make_lamp)):
        if name not in gymnasium.registry:
            gymnasium.register(name, entry_point=make)


register()
