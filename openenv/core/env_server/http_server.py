"""COMPATIBILITY ONLY: see openenv.app and openenv.server.http_server."""

from openenv.app import create_app
from openenv.server.http_server import HTTPEnvServer

__all__ = ["HTTPEnvServer", "create_app"]
