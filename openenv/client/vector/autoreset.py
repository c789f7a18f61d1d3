"""AutoresetMode: when a session of a vector begins its next episode.

Knows nothing of sessions: client.py and flight.py act on it.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from openenv.errors import ConfigurationError


class AutoresetMode(Enum):
    """When a session whose episode is over begins the next one, as Gymnasium names it."""

    NEXT_STEP = "NextStep"
    "The next step resets it: its action is not used, its reward is 0."
    SAME_STEP = "SameStep"
    'At once: the last observation of the old episode is in `infos["final_obs"]`.'
    DISABLED = "Disabled"
    "Never: reset it with `options={'reset_mask': ...}`."


def mode_of(mode: Any) -> AutoresetMode:
    """Return the mode for one of Gymnasium's, or for its value. Raises ConfigurationError."""
    try:
        return AutoresetMode(getattr(mode, "value", mode))
    except ValueError:
        known = ", ".join(repr(known_mode.value) for known_mode in AutoresetMode)
        raise ConfigurationError(f"autoreset_mode is one of {known}, not {mode!r}") from None
