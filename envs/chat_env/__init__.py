"""The chat environment: conversations as messages and as tokens."""

from .client import ChatEnv
from .models import ChatAction, ChatObservation, ChatState

__all__ = ["ChatAction", "ChatEnv", "ChatObservation", "ChatState"]
