"""The server side of the openspiel environment."""
