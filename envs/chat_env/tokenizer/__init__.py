"""The tokenizer that the chat environment comes with."""
