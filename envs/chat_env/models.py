"""What the chat environment takes and gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from openenv.llm.chat import Message
from openenv.models import Action, Observation, State

Ending = Literal["", "conversation", "tokens", "turns"]
"Why an episode is over: all is said, no tokens are left, or no turns are. Empty while it goes on."

MAX_LENGTH = 1_000_000
"Nobody says more tokens or characters than this in one turn."

EXAMPLES = ["Hello!", "I think it is 42.", "Paris, if I remember well."]

TokenId = Annotated[int, Meta(ge=0)]


@dataclass(kw_only=True)
class ChatAction(Action):
    """What the assistant says: as the tokens that a model has drawn, or as text."""

    tokens: Annotated[list[TokenId], Meta(examples=[[]], max_length=MAX_LENGTH)] = field(
        default_factory=list
    )
    message: Annotated[str, Meta(examples=EXAMPLES, max_length=MAX_LENGTH)] = ""


@dataclass(kw_only=True)
class ChatObservation(Observation):
    """The conversation so far."""

    messages: list[Message] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    "The same as a model reads it, up to where the assistant goes on."
    response: str = ""
    "What was answered to the assistant."
    response_tokens: list[int] = field(default_factory=list)
    tokens_left: int = 0
    "How many more the conversation may have."
    ending: Ending = ""
    is_retokenized: bool = False
    "Whether the template rewrote what was said before, so that `tokens` are not those drawn."


@dataclass(kw_only=True)
class ChatState(State):
    """The conversation, and how it is turned into tokens."""

    history_messages: list[Message] = field(default_factory=list)
    history_tokens: list[int] = field(default_factory=list)
    tokenizer_name: str = ""
    vocabulary_size: int = 0
    max_tokens: int = 0
    max_turns: int = 0
