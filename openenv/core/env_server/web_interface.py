"""COMPATIBILITY ONLY: see openenv.app."""

from openenv.app import create_hf_web_interface_app, create_web_interface_app

__all__ = ["create_hf_web_interface_app", "create_web_interface_app"]
