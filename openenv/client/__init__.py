"""The client: async in env.py, blocking in blocking/, over HTTP in http/, many sessions in pool.py.

This file alone joins the blocking form to the class that it makes by itself: sync.py does not
import the clients that it wraps.
"""

from openenv.client.blocking.sync import SyncEnvClient
from openenv.client.generic import GenericEnvClient

SyncEnvClient._client_cls = GenericEnvClient
