"""Measurements: one script per question. Nothing of `openenv` imports this; see README.md."""
