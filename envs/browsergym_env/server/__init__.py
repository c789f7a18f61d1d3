"""The server side of the browsergym environment."""
