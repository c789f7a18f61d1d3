"""The server side of the chat environment."""
