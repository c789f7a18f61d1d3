"""The command line `openenv`: each command parses its arguments and calls a library function."""
