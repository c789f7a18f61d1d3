"""KubernetesProvider: a reserved name; the provider does not exist yet."""

from typing import Any

from openenv.errors import ProviderUnavailable

__all__ = ["KubernetesProvider"]


class KubernetesProvider:
    """Will run an environment's image in a cluster. Constructing it raises ProviderUnavailable."""

    def __init__(self, namespace: str = "default", **options: Any) -> None:
        raise ProviderUnavailable(
            f"openenv cannot start environments in Kubernetes yet (namespace {namespace!r}): "
            "deploy the server yourself, and connect a client to its URL"
        )
