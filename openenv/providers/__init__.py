"""Providers: each starts a server in its own way (process, uv, Docker, ...) and stops it."""
