"""openenv: environments for reinforcement learning as services.

The public names, each imported when it is first used: `import openenv` loads no server, no HTTP
library and no numpy. What is not listed here is reached by its own module.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openenv.app import create_app as create_app
    from openenv.client.blocking.sync import SyncEnvClient as SyncEnvClient
    from openenv.client.env import EnvClient as EnvClient
    from openenv.client.generic import GenericAction as GenericAction
    from openenv.client.generic import GenericEnvClient as GenericEnvClient
    from openenv.client.http.client import HTTPEnvClient as HTTPEnvClient
    from openenv.client.pool import Pool as Pool
    from openenv.client.pool import connect as connect
    from openenv.client.watch import watch as watch
    from openenv.environment import Environment as Environment
    from openenv.errors import ConfigurationError as ConfigurationError
    from openenv.errors import ConnectError as ConnectError
    from openenv.errors import ConnectionLost as ConnectionLost
    from openenv.errors import EnvironmentFault as EnvironmentFault
    from openenv.errors import NotReset as NotReset
    from openenv.errors import OpenEnvError as OpenEnvError
    from openenv.errors import PayloadError as PayloadError
    from openenv.errors import ProtocolError as ProtocolError
    from openenv.errors import ProviderError as ProviderError
    from openenv.errors import RequestTimeout as RequestTimeout
    from openenv.errors import SessionCapacityError as SessionCapacityError
    from openenv.errors import SessionError as SessionError
    from openenv.errors import SessionExpired as SessionExpired
    from openenv.errors import StepTimeout as StepTimeout
    from openenv.errors import TransportError as TransportError
    from openenv.hub.auto import AutoAction as AutoAction
    from openenv.hub.auto import AutoEnv as AutoEnv
    from openenv.models import Action as Action
    from openenv.models import EnvironmentInfo as EnvironmentInfo
    from openenv.models import Observation as Observation
    from openenv.models import State as State
    from openenv.models import StepResult as StepResult
    from openenv.rollout.collect import collect as collect
    from openenv.server.serve import serve as serve

_MODELS = ("Action", "EnvironmentInfo", "Observation", "State", "StepResult")
_ERRORS = (
    "OpenEnvError",
    "ProtocolError",
    "TransportError",
    "ConnectError",
    "ConnectionLost",
    "RequestTimeout",
    "SessionError",
    "NotReset",
    "SessionCapacityError",
    "SessionExpired",
    "PayloadError",
    "EnvironmentFault",
    "StepTimeout",
    "ConfigurationError",
    "ProviderError",
)
# Public name -> the module that defines it.
_LAZY = {
    **dict.fromkeys(_MODELS, "openenv.models"),
    "Environment": "openenv.environment",
    "create_app": "openenv.app",
    "serve": "openenv.server.serve",
    "EnvClient": "openenv.client.env",
    "SyncEnvClient": "openenv.client.blocking.sync",
    "GenericEnvClient": "openenv.client.generic",
    "GenericAction": "openenv.client.generic",
    "HTTPEnvClient": "openenv.client.http.client",
    "Pool": "openenv.client.pool",
    "connect": "openenv.client.pool",
    "watch": "openenv.client.watch",
    "collect": "openenv.rollout.collect",
    "AutoEnv": "openenv.hub.auto",
    "AutoAction": "openenv.hub.auto",
    **dict.fromkeys(_ERRORS, "openenv.errors"),
}
# Top-level package of an optional dependency -> the extra that installs it.
_EXTRAS = {
    "starlette": "server",
    "uvicorn": "server",
    "rich": "cli",
    "typer": "cli",
    "httpx": "http",
    "numpy": "tensor",
    "pydantic": "compat",
    "yaml": "hub",
}

__all__ = [*_LAZY, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - rarely asked, slow to import

        value: Any = version("openenv")
    elif name in _LAZY:
        try:
            value = getattr(import_module(_LAZY[name]), name)
        except ModuleNotFoundError as error:
            if (extra := _EXTRAS.get((error.name or "").partition(".")[0])) is None:
                raise
            need = f"openenv.{name} needs {error.name}: pip install 'openenv[{extra}]'"
            raise ModuleNotFoundError(need, name=error.name) from error
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
