"""The command line, `openenv`: a command parses its arguments and calls a library function."""
