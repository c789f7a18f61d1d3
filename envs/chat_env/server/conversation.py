"""Conversation: what was said, as messages and as tokens.

The tokens that a model has drawn stay as they are: what follows is put behind them. Encoding the
whole text anew would give others, and training on those would be training on what was never drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openenv.llm.chat import Message

    from .tokenizer import ChatTokenizer


class Conversation:
    """Begins with messages; `say` adds a turn of the assistant and what it is answered."""

    def __init__(self, tokenizer: ChatTokenizer, messages: Sequence[Message]) -> None:
        self._tokenizer = tokenizer
        self.messages = list(messages)
        self.tokens = tokenizer.encode(tokenizer.render(messages, is_prompt=True))
        self.is_retokenized = False

    def say(self, text: str, tokens: Sequence[int], answers: Sequence[Message]) -> None:
        """Add a turn of the assistant, as text and as tokens, and the answers to it.

        Without answers the conversation ends with that turn.
        """
        encode, render = self._tokenizer.encode, self._tokenizer.render
        prompt = render(self.messages, is_prompt=True)
        self.messages.append({"role": "assistant", "content": text})
        said = render(self.messages, is_prompt=False)
        self.messages.extend(answers)
        whole = render(self.messages, is_prompt=bool(answers))
        if said.startswith(prompt + text) and whole.startswith(said):
            rest = encode(whole[len(prompt) + len(text) :])
            # Models end their turn themselves, unless they were cut.
            is_closed = (
                tokens and rest and tokens[-1] == rest[0] and self._tokenizer.is_special(rest[0])
            )
            self.tokens = [*self.tokens, *tokens, *rest[1 if is_closed else 0 :]]
        else:
            # Some templates drop or rewrite earlier turns: then there is no other way.
            self.tokens = encode(whole)
            self.is_retokenized = True
