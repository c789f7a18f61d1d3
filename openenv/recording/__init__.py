"""Recordings: episodes as lines of JSON; format.py says what a line holds."""

from openenv.recording.format import Cause, Episode, Turn, read
from openenv.recording.recorder import Recorder

__all__ = ["Cause", "Episode", "Recorder", "Turn", "read"]
