"""The server side of the atari environment."""
