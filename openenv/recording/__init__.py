"""Recordings: files of episodes, one per line of JSON; format.py defines a line."""

from openenv.recording.format import Cause, Episode, Turn, read
from openenv.recording.recorder import Recorder

__all__ = ["Cause", "Episode", "Recorder", "Turn", "read"]
