"""Trains the tokenizer that this environment comes with: `python -m envs.chat_env.tokenizer.train`.

Byte-level BPE, so that every text has tokens and comes back as it was. It learns from the texts of
this repository and from Python's reference, and is written beside this file.
"""

from __future__ import annotations

import pydoc_data.topics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

if TYPE_CHECKING:
    from collections.abc import Iterable

HERE = Path(__file__).parent
VOCABULARY_SIZE = 4096
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def texts_of(root: Path) -> Iterable[str]:
    """Yield the documents and sources below a folder, and Python's reference."""
    for pattern in ("docs/**/*.md", "envs/*/*.md", "openenv/**/*.py"):
        for path in sorted(root.glob(pattern)):
            yield path.read_text(encoding="utf-8")
    yield from pydoc_data.topics.topics.values()


def train(texts: Iterable[str]) -> Any:
    """Return a tokenizer that knows what is frequent in these texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def main() -> None:
    """Train, and write tokenizer.json."""
    tokenizer = train(texts_of(HERE.parents[2]))
    tokenizer.save(str(HERE / "tokenizer.json"), pretty=False)
    sys.stdout.write(f"{tokenizer.get_vocab_size()} tokens\n")


if __name__ == "__main__":
    main()
