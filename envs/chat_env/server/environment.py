"""ChatEnvironment: the agent speaks as the assistant; a responder answers.

Owns turns, limits and what is refused. Tokens are conversation.py's affair, answers are
responders.py's.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import msgspec

from openenv.environment import Environment
from openenv.errors import ConfigurationError
from openenv.llm.chat import Message
from openenv.models import EnvironmentInfo

from ..models import ChatAction, ChatObservation, ChatState, Ending
from .conversation import Conversation
from .responders import Matches, Responder, Scripted
from .tokenizer import SMALL, ChatTokenizer, load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence

ROLES = ("system", "user", "assistant", "tool")
MAX_TOKENS, MAX_TURNS = 4096, 32


class InvalidMessage(ValueError):
    """What was said cannot be part of a conversation; nothing has happened."""


class ChatEnvironment(Environment[ChatAction, ChatObservation, ChatState]):
    """A conversation. Responder and rubric belong to this environment alone.

    Without a responder the user says one of a few scripts, and the reward is 1 for each turn of the
    assistant that has what the script expects.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(
        self,
        tokenizer_name: str = SMALL,
        system_prompt: str | None = None,
        responder: Responder | None = None,
        rubric: Any = None,
        *,
        max_tokens: int = MAX_TOKENS,
        max_turns: int = MAX_TURNS,
    ) -> None:
        if responder is None:
            responder = Scripted()
            rubric = Matches(responder) if rubric is None else rubric
        super().__init__(rubric=rubric)
        self._tokenizer: ChatTokenizer = load_tokenizer(tokenizer_name)
        self._responder = responder
        self._system_prompt = system_prompt
        self._limits = (max_tokens, max_turns)
        self._max_tokens, self._max_turns = max_tokens, max_turns
        self._conversation: Conversation | None = None
        self._turns = 0
        self._ending: Ending = ""

    async def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        system_prompt: str | None = None,
        messages: list[Message] | None = None,
        max_tokens: int | None = None,
        max_turns: int | None = None,
    ) -> ChatObservation:
        """Begin a conversation, with these messages or as the responder begins one.

        Raises ConfigurationError: a message is none, or there is no token left for a reply.
        """
        await self._reset_rubric_async()
        self._conversation = None
        given = self._checked(messages or [])
        opening = list(self._responder.begin(seed, given))
        prompt = self._system_prompt if system_prompt is None else system_prompt
        if prompt is not None:
            said = [one for one in opening if one["role"] != "system"]
            opening = self._checked([{"role": "system", "content": prompt}, *said])
        self._max_tokens = _limit("max_tokens", max_tokens, self._limits[0])
        self._max_turns = _limit("max_turns", max_turns, self._limits[1])
        conversation = Conversation(self._tokenizer, opening)
        if len(conversation.tokens) >= self._max_tokens:
            raise ConfigurationError(
                f"the conversation begins with {len(conversation.tokens)} tokens, and max_tokens "
                f"is {self._max_tokens}: nothing is left for a reply"
            )
        self._conversation, self._turns, self._ending = conversation, 0, ""
        return self._observe(conversation, [])

    async def step(self, action: ChatAction) -> ChatObservation:
        """Say something and be answered. Raises InvalidMessage."""
        conversation = self._conversation
        if conversation is None:
            raise ConfigurationError("no conversation has begun: call reset")
        if self._ending:
            raise InvalidMessage("the conversation is over: begin another with reset")
        text, tokens = self._read(action)
        answers: Sequence[Message] = []
        if len(conversation.tokens) + len(tokens) >= self._max_tokens:
            self._ending = "tokens"
        else:
            answers = await self._answers_to(conversation, text)
        conversation.say(text, tokens, answers)
        self._turns += 1
        if not self._ending:
            self._ending = self._ending_after(conversation, answers)
        observation = self._observe(conversation, answers)
        observation.reward = await self._apply_rubric_async(action, observation)
        return observation

    @property
    def state(self) -> ChatState:
        """The conversation, and how it is turned into tokens."""
        base, conversation = super().state, self._conversation
        return ChatState(
            episode_id=base.episode_id,
            step_count=base.step_count,
            history_messages=list(conversation.messages) if conversation else [],
            history_tokens=conversation.tokens if conversation else [],
            tokenizer_name=self._tokenizer.name,
            vocabulary_size=self._tokenizer.vocabulary_size,
            max_tokens=self._max_tokens,
            max_turns=self._max_turns,
        )

    def message_to_action(self, message: Message) -> ChatAction:
        """Return the action that says a message, as tokens."""
        return ChatAction(tokens=self._tokenizer.encode(message["content"]))

    def get_metadata(self) -> EnvironmentInfo:
        """Describe it."""
        return EnvironmentInfo(
            name="chat_env",
            description=f"Conversations, as messages and as tokens of {self._tokenizer.name}",
        )

    # ---- what is said

    def _read(self, action: ChatAction) -> tuple[str, list[int]]:
        """Return an action as text and as tokens."""
        if bool(action.tokens) == bool(action.message):
            raise InvalidMessage("an action has tokens or a message, and not both")
        if action.message:
            self._check_text(action.message, InvalidMessage)
            return action.message, self._tokenizer.encode(action.message)
        beyond = max(action.tokens)
        if beyond >= self._tokenizer.vocabulary_size:
            raise InvalidMessage(
                f"there is no token {beyond}: {self._tokenizer.name} has "
                f"{self._tokenizer.vocabulary_size}"
            )
        return self._tokenizer.decode(action.tokens), action.tokens

    async def _answers_to(self, conversation: Conversation, text: str) -> Sequence[Message]:
        said: Message = {"role": "assistant", "content": text}
        answers = self._responder.respond([*conversation.messages, said])
        if inspect.isawaitable(answers):
            answers = await answers
        return self._checked(answers)

    def _checked(self, messages: Sequence[Message]) -> list[Message]:
        """Return messages that are such. Raises ConfigurationError."""
        try:
            checked = msgspec.convert(messages, list[Message])
        except msgspec.ValidationError as error:
            raise ConfigurationError(f"no conversation: {error}") from error
        for message in checked:
            if message["role"] not in ROLES:
                raise ConfigurationError(
                    f"there is no role {message['role']!r:.40}: {', '.join(ROLES)}"
                )
            self._check_text(message["content"], ConfigurationError)
        return checked

    def _check_text(self, text: str, error: type[Exception]) -> None:
        """Refuse a text that would speak for others: with tokens that end a turn and begin one."""
        special = self._tokenizer.special_in(text)
        if special is not None:
            raise error(f"{special} is for the template alone: a text may not have it")

    # ---- what comes of it

    def _ending_after(self, conversation: Conversation, answers: Sequence[Message]) -> Ending:
        if not answers:
            return "conversation"
        if len(conversation.tokens) >= self._max_tokens:
            return "tokens"
        return "turns" if self._turns >= self._max_turns else ""

    def _observe(self, conversation: Conversation, answers: Sequence[Message]) -> ChatObservation:
        response = "\n".join(answer["content"] for answer in answers)
        return ChatObservation(
            messages=list(conversation.messages),
            tokens=conversation.tokens,
            response=response,
            response_tokens=self._tokenizer.encode(response),
            tokens_left=max(0, self._max_tokens - len(conversation.tokens)),
            ending=self._ending,
            is_retokenized=conversation.is_retokenized,
            done=self._ending == "conversation",
            truncated=self._ending in ("tokens", "turns"),
        )


def _limit(name: str, asked: Any, default: int) -> int:
    if asked is None:
        return default
    if not isinstance(asked, int) or isinstance(asked, bool) or asked < 1:
        raise ConfigurationError(f"{name} is {asked!r:.40}: give a whole number from 1 up")
    return asked
