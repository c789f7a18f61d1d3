"""ChatEnv: the client of the chat environment."""

from __future__ import annotations

from openenv.client.env import EnvClient

from .models import ChatAction, ChatObservation, ChatState


class ChatEnv(EnvClient[ChatAction, ChatObservation, ChatState]):
    """Speaks as the assistant."""
