"""COMPATIBILITY ONLY: see openenv.app and openenv.server.http.http_server."""

from openenv.app import create_app, create_hf_web_interface_app, create_web_interface_app
from openenv.server.http.http_server import HTTPEnvServer, create_fastapi_app

__all__ = [
    "HTTPEnvServer",
    "create_app",
    "create_fastapi_app",
    "create_hf_web_interface_app",
    "create_web_interface_app",
]
