"""COMPATIBILITY ONLY: see openenv.providers."""
