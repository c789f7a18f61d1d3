"""ChatTokenizer: text to tokens, and messages to the text that a model reads.

Owns where tokenizers are found and how chat templates are rendered: in a sandbox, since a template
is code from whoever published the model.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openenv.errors import ConfigurationError

try:
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from tokenizers import Tokenizer
except ModuleNotFoundError as error:
    raise ConfigurationError(f"chat_env needs {error.name}: pip install 'openenv[chat]'") from error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openenv.llm.chat import Message

SMALL = "small"
"The tokenizer that comes with this environment."

_SMALL_FOLDER = Path(__file__).parents[1] / "tokenizer"
_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


class ChatTokenizer:
    """A tokenizer with its chat template; `load_tokenizer` makes it."""

    def __init__(self, name: str, tokenizer: Any, template: str, variables: dict[str, Any]) -> None:
        self.name = name
        self.vocabulary_size = int(tokenizer.get_vocab_size())
        self._tokenizer = tokenizer
        added = tokenizer.get_added_tokens_decoder()
        self._special = {token.content: number for number, token in added.items() if token.special}
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = _raise
        try:
            self._template = environment.from_string(template, globals=variables)
        except TemplateError as error:
            raise ConfigurationError(f"the chat template of {name} is broken: {error}") from error

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text, special ones where it has them."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, without the special ones."""
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True))

    def is_special(self, token: int) -> bool:
        """Whether a token is for the template alone."""
        return token in self._special.values()

    def special_in(self, text: str) -> str | None:
        """Return a special token that a text would become, if there is one."""
        return next((special for special in self._special if special in text), None)

    def render(self, messages: Sequence[Message], *, is_prompt: bool) -> str:
        """Return what a model reads; a prompt ends where the assistant begins.

        Raises ConfigurationError if the template refuses the conversation.
        """
        try:
            return self._template.render(messages=messages, add_generation_prompt=is_prompt)
        except (TemplateError, TypeError) as error:
            raise ConfigurationError(
                f"the chat template of {self.name} refuses this conversation: {error}"
            ) from error


@functools.lru_cache(maxsize=8)
def load_tokenizer(name: str) -> ChatTokenizer:
    """Return the tokenizer of this name: "small", a folder, or a model of the Hugging Face hub.

    Raises ConfigurationError.
    """
    folder = _SMALL_FOLDER if name == SMALL else Path(name)
    if not folder.is_dir():
        folder = _download(name)
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ConfigurationError(f"{folder} has no tokenizer.json, which a fast tokenizer has")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more particular
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    config = _config(folder / "tokenizer_config.json")
    template = folder / "chat_template.jinja"
    source = template.read_text(encoding="utf-8") if template.is_file() else _template_in(config)
    if source is None:
        raise ConfigurationError(f"{name} has no chat template: take a model made for chats")
    return ChatTokenizer(name, tokenizer, source, _variables(config))


def _download(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download  # noqa: PLC0415 - only for models of the hub
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{name!r} is no folder here, and for the hub: pip install 'openenv[hub]'"
        ) from error
    try:
        return Path(snapshot_download(name, allow_patterns=list(_FILES)))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"there is no tokenizer {name!r:.200}: {error}. Give {SMALL!r}, a folder, or a model "
            "of the hub"
        ) from error


def _config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    return config if isinstance(config, dict) else {}


def _template_in(config: dict[str, Any]) -> str | None:
    """Return the default one, if there are several."""
    found = config.get("chat_template")
    if isinstance(found, list):
        named = {one["name"]: one["template"] for one in found}
        found = named.get("default")
    return found if isinstance(found, str) else None


def _variables(config: dict[str, Any]) -> dict[str, Any]:
    """Return the tokens that a template may name, such as bos_token."""
    tokens = {name: token for name, token in config.items() if name.endswith("_token")}
    return {
        name: token["content"] if isinstance(token, dict) else token
        for name, token in tokens.items()
        if isinstance(token, str | dict)
    }


def _raise(message: str) -> None:
    raise TemplateError(message)
