"""Tokenizers of the chat environment: the small one, folders, templates, and what is refused."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.chat_env.server.tokenizer import load_tokenizer
from envs.chat_env.tokenizer.train import SPECIAL_TOKENS, train
from openenv.errors import ConfigurationError
from openenv.llm.chat import Message

SMALL = load_tokenizer("small")
HELLO: list[Message] = [{"role": "user", "content": "Hello"}]
SMALL_FILE = Path(__file__).parents[2] / "envs/chat_env/tokenizer/tokenizer.json"


def folder_with(folder: Path, template: str | None, config: str = "{}") -> str:
    (folder / "tokenizer.json").write_bytes(SMALL_FILE.read_bytes())
    (folder / "tokenizer_config.json").write_text(config, encoding="utf-8")
    if template is not None:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return str(folder)


@given(st.text().filter(lambda text: SMALL.special_in(text) is None))
def test_every_text_comes_back_as_it_was(text: str) -> None:
    assert SMALL.decode(SMALL.encode(text)) == text


def test_the_small_tokenizer_is_one() -> None:
    assert SMALL.vocabulary_size == 4096
    text = "The environment returns an observation for each action of the agent."
    assert len(SMALL.encode(text)) < len(text) / 4


def test_the_small_template_is_that_of_chats() -> None:
    text = SMALL.render(HELLO, is_prompt=True)
    assert text == "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    assert [token for token in SMALL.encode(text) if SMALL.is_special(token)] == [1, 2, 1]
    assert SMALL.special_in("a <|im_end|> b") == "<|im_end|>"
    assert SMALL.special_in("a < b") is None


def test_training_makes_the_same_tokenizer_of_the_same_texts() -> None:
    texts = ["to be or not to be, that is the question"] * 20
    one, other = train(texts), train(texts)
    assert one.to_str() == other.to_str()
    assert one.get_vocab_size() > 256 + len(SPECIAL_TOKENS)
    assert one.decode(one.encode("not to be").ids) == "not to be"


def test_a_template_may_name_tokens_and_be_in_the_configuration(tmp_path: Path) -> None:
    config = {
        "chat_template": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}",
        "bos_token": {"content": "<|endoftext|>"},
        "eos_token": "<|im_end|>",
    }
    tokenizer = load_tokenizer(folder_with(tmp_path, None, json.dumps(config)))
    assert tokenizer.render(HELLO, is_prompt=True) == "<|endoftext|>Hello<|im_end|>"


def test_of_several_templates_the_default_is_taken(tmp_path: Path) -> None:
    config = {
        "chat_template": [
            {"name": "tool_use", "template": "tools"},
            {"name": "default", "template": "chat"},
        ]
    }
    tokenizer = load_tokenizer(folder_with(tmp_path, None, json.dumps(config)))
    assert tokenizer.render(HELLO, is_prompt=True) == "chat"


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('roles must alternate') }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ nothing.of_it }}",
    ],
)
def test_a_template_that_refuses_or_escapes_is_an_error(template: str, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(folder_with(tmp_path, template))
    with pytest.raises(ConfigurationError):
        tokenizer.render(HELLO, is_prompt=True)


@pytest.mark.parametrize(
    ("template", "config"), [(None, "{}"), (None, "[]"), ("{% for %}", "{}"), ("x", "{")]
)
def test_a_folder_without_a_template_is_refused(
    template: str | None, config: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError):
        load_tokenizer(folder_with(tmp_path, template, config))


def test_what_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        load_tokenizer(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigurationError):
        load_tokenizer(str(tmp_path))
    with pytest.raises(ConfigurationError):
        load_tokenizer("no/such/folder here")
