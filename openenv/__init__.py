"""Environments for reinforcement learning as services."""
