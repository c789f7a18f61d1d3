"""When a session of a vector begins its next episode: Gymnasium's names for it."""

from typing import Any

import pytest
from gymnasium.vector import AutoresetMode as GymnasiumMode

from openenv.client.vector.autoreset import AutoresetMode, mode_of
from openenv.errors import ConfigurationError


@pytest.mark.parametrize("mode", AutoresetMode)
def test_a_mode_is_given_as_itself_by_its_value_or_as_gymnasiums(mode: AutoresetMode) -> None:
    assert mode_of(mode) is mode_of(mode.value) is mode_of(GymnasiumMode[mode.name]) is mode


@pytest.mark.parametrize("mode", [None, "next_step", 1])
def test_another_mode_is_refused(mode: Any) -> None:
    with pytest.raises(ConfigurationError):
        mode_of(mode)
