"""The server side of the REPL environment."""
