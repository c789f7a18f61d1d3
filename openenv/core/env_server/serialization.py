"""COMPATIBILITY ONLY: see openenv.server.http.serialization."""

from openenv.server.http.serialization import (
    deserialize_action,
    deserialize_action_with_preprocessing,
    serialize_observation,
)

__all__ = ["deserialize_action", "deserialize_action_with_preprocessing", "serialize_observation"]
