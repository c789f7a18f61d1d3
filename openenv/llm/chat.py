"""Conversations: a message, and what turns messages into tokens. Knows no model and no provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence


class Message(TypedDict):
    """One turn of a conversation; the role is system, user, assistant or tool."""

    role: str
    content: str


class ModelTokenizer(Protocol):
    """What a chat environment asks of a tokenizer; those of `transformers` have it."""

    def apply_chat_template(
        self,
        conversation: Sequence[Message],
        tokenize: bool = True,
        return_tensors: str | None = None,
        **options: Any,
    ) -> Any:
        """Return a conversation as its model reads it: as text, or as tokens if `tokenize`."""

    def decode(self, token_ids: Any, skip_special_tokens: bool = False, **options: Any) -> str:
        """Return the text of tokens."""
