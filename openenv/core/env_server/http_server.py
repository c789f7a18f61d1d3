"""COMPATIBILITY ONLY: see openenv.app and openenv.server.http."""

from openenv.app import create_app
from openenv.server.http import HTTPEnvServer

__all__ = ["HTTPEnvServer", "create_app"]
