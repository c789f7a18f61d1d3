"""Who answers the assistant: a script, or a language model. Write your own as a Responder."""

from __future__ import annotations

import asyncio
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from openenv.errors import ConfigurationError
from openenv.rubrics import Rubric

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from openenv.llm.chat import Message

SCRIPTS = Path(__file__).parent / "scripts.json"


class Responder(Protocol):
    """The other side of one conversation at a time. Each environment has one of its own."""

    def begin(self, seed: int | None, given: Sequence[Message]) -> Sequence[Message]:
        """Return what a conversation begins with; `given` is what reset was given for that."""

    def respond(
        self, messages: Sequence[Message]
    ) -> Sequence[Message] | Awaitable[Sequence[Message]]:
        """Return the answer to the last message; nothing if all is said. May be async."""


class Turn(msgspec.Struct, forbid_unknown_fields=True):
    """What the user says, and a regular expression for what the assistant should say then."""

    say: str
    expect: str | None = None


class Script(msgspec.Struct, forbid_unknown_fields=True):
    """A conversation, from the user's side."""

    turns: list[Turn]
    system: str | None = None


def read_scripts(path: Path) -> list[Script]:
    """Return the scripts of a JSON file. Raises ConfigurationError."""
    try:
        scripts = msgspec.json.decode(path.read_bytes(), type=list[Script])
        for pattern in (turn.expect for script in scripts for turn in script.turns):
            re.compile(pattern or "")
    except (OSError, msgspec.DecodeError, re.error) as error:
        raise ConfigurationError(f"{path} cannot be read as scripts: {error}") from error
    if not all(script.turns for script in scripts) or not scripts:
        raise ConfigurationError(f"{path} needs scripts, and each of them turns")
    return scripts


class Scripted:
    """Says one of its scripts, turn by turn, whatever the assistant says; the seed draws which."""

    def __init__(self, scripts: Sequence[Script] | None = None) -> None:
        self._scripts = read_scripts(SCRIPTS) if scripts is None else scripts
        self._turns: list[Turn] = []
        self._said = 0
        self.expected: str | None = None
        "What the assistant's last turn should have been, as a regular expression."

    def begin(self, seed: int | None, given: Sequence[Message]) -> Sequence[Message]:
        """Open a script; or listen to one turn, if the conversation is given."""
        self._said, self.expected = 1, None
        if given:
            self._turns = []
            return given
        script = random.Random(seed).choice(self._scripts)
        self._turns = script.turns
        opening: list[Message] = [{"role": "user", "content": script.turns[0].say}]
        if script.system is not None:
            opening.insert(0, {"role": "system", "content": script.system})
        return opening

    def respond(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Say the next turn."""
        answered, following = self._turns[: self._said], self._turns[self._said :]
        self.expected = answered[-1].expect if answered else None
        self._said += 1
        return [{"role": "user", "content": following[0].say}] if following else []


class Matches(Rubric):
    """1 for a turn of the assistant in which the script finds what it expects, else 0."""

    def __init__(self, script: Scripted) -> None:
        super().__init__()
        self._script = script

    def forward(self, action: Any, observation: Any) -> float:
        """Look at what was said last."""
        expected = self._script.expected
        if expected is None:
            return 0.0
        said = [one["content"] for one in observation.messages if one["role"] == "assistant"]
        return float(re.search(expected, said[-1], re.IGNORECASE) is not None)


class CompletionClient(Protocol):
    """A language model."""

    async def complete(self, prompt: str, **options: Any) -> str:
        """Return what follows the prompt."""


class ModelResponder:
    """A language model in the user's place.

    `instructions` say who it is and what it wants; the conversation is over when it says `stop`.
    """

    def __init__(
        self,
        client: CompletionClient,
        instructions: str,
        opening: str = "Hello!",
        *,
        stop: str = "[END]",
        timeout_s: float = 60.0,
    ) -> None:
        self._client = client
        self._instructions = instructions
        self._opening: Message = {"role": "user", "content": opening}
        self._stop = stop
        self._timeout_s = timeout_s

    def begin(self, seed: int | None, given: Sequence[Message]) -> Sequence[Message]:
        """Begin with what is given, or with the opening."""
        return given or [self._opening]

    async def respond(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Ask the model. Raises TimeoutError."""
        said = "\n".join(f"{one['role']}: {one['content']}" for one in messages)
        prompt = (
            f"{self._instructions}\nYou are the user in this conversation. Reply with the user's "
            f"next message alone, or with {self._stop} if all is said.\n\n{said}\nuser:"
        )
        async with asyncio.timeout(self._timeout_s):
            text = (await self._client.complete(prompt)).strip()
        return [] if self._stop in text else [{"role": "user", "content": text}]
