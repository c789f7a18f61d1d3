"""The import paths that existing environments and trainers use, frozen: none of them may break.

A feature that does not exist yet has no row; it gets its rows together with the feature.
"""

import dataclasses
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pydantic
import pytest

import openenv
from openenv.errors import ProviderUnavailable

ROOT = Path(__file__).parents[2]

MODELS = ("Action", "Observation", "State")

# module below `openenv.core` -> the names that are imported from it.
TABLE = {
    "": ["EnvClient", "GenericEnvClient", "HTTPEnvClient", "StepResult", "SyncEnvClient"],
    "client_types": ["StepResult"],
    "containers.runtime": ["KubernetesProvider"],
    "env_client": ["EnvClient", "StepResult"],
    "env_server": ["Environment", "HTTPEnvServer", "create_app", *MODELS],
    "env_server.base_transforms": ["CompositeTransform"],
    "env_server.http_server": ["HTTPEnvServer", "create_app"],
    "env_server.interfaces": ["Environment", "Transform", *MODELS],
    "env_server.types": [
        "CodeExecResult",
        "ConcurrencyConfig",
        "EnvironmentMetadata",
        "ServerCapacityStatus",
        "SessionInfo",
        *MODELS,
    ],
    "generic_client": ["GenericAction", "GenericEnvClient"],
    "http_env_client": ["HTTPEnvClient"],
    "sync_client": ["SyncEnvClient"],
}
ROWS = [(module, name) for module, names in TABLE.items() for name in names]

# Where a name of the table is defined under another name, or elsewhere than in `openenv`.
ORIGINS = {
    "Transform": "openenv.environment:Transform",
    "CompositeTransform": "openenv.environment:CompositeTransform",
    "EnvironmentMetadata": "openenv.models:EnvironmentInfo",
    "HTTPEnvServer": "openenv.server.http_server:HTTPEnvServer",
    "KubernetesProvider": "openenv.providers.kubernetes:KubernetesProvider",
    "CodeExecResult": "openenv.core.env_server.types:CodeExecResult",
    "ConcurrencyConfig": "openenv.server.http_server:ConcurrencyConfig",
    "ServerCapacityStatus": "openenv.server.http_server:ServerCapacityStatus",
    "SessionInfo": "openenv.server.http_server:SessionInfo",
}


def imported(root: str, module: str, name: str) -> Any:
    """What `from root.module import name` gives."""
    found = importlib.import_module(f"{root}.{module}".rstrip("."))
    return getattr(found, name)


def original(name: str) -> Any:
    module, _, attribute = ORIGINS.get(name, f"openenv:{name}").partition(":")
    return getattr(importlib.import_module(module), attribute)


def fresh(code: str) -> str:
    """Run code in an interpreter that has imported nothing yet; return what it printed."""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.mark.parametrize("root", ["openenv.core", "openenv_core"])
@pytest.mark.parametrize(("module", "name"), [row for row in ROWS if row[1] not in MODELS])
def test_a_former_path_leads_to_the_very_same_object(root: str, module: str, name: str) -> None:
    assert imported(root, module, name) is original(name)


@pytest.mark.parametrize(("module", "name"), [row for row in ROWS if row[1] in MODELS])
def test_models_are_pydantic_under_openenv_core_with_a_dot(module: str, name: str) -> None:
    model = imported("openenv.core", module, name)
    assert issubclass(model, pydantic.BaseModel)
    assert model is imported("openenv.core", "env_server.types", name)


@pytest.mark.parametrize(("module", "name"), [("", "Action"), *ROWS])
def test_models_are_dataclasses_under_openenv_core_with_an_underscore(
    module: str, name: str
) -> None:
    if name in MODELS:
        model = imported("openenv_core", module, name)
        assert dataclasses.is_dataclass(model)
        assert model is getattr(openenv, name)


@pytest.mark.parametrize("module", ["client_types", "containers.runtime", "env_client"])
def test_both_names_of_a_module_are_one_module(module: str) -> None:
    real = importlib.import_module(f"openenv.core.{module}")
    assert importlib.import_module(f"openenv_core.{module}") is real
    assert real.__name__ == f"openenv.core.{module}"
    assert real.__spec__ is not None
    assert real.__spec__.name == real.__name__
    assert importlib.reload(real) is real


def test_the_first_import_by_the_former_name_makes_no_second_copy() -> None:
    code = (
        "import openenv_core.env_server.base_transforms as old\n"
        "import openenv.core.env_server.base_transforms as new\n"
        "from openenv_core.env_server import Environment\n"
        "from openenv.core.env_server.interfaces import Environment as again\n"
        "print(old is new, old.__spec__.name, Environment is again)"
    )
    assert fresh(code) == "True openenv.core.env_server.base_transforms True"


@pytest.mark.parametrize(
    "statement",
    [
        "from openenv_core.env_server import Action, Environment, Observation, State",
        "from openenv_core.env_server.interfaces import Environment, Action",
        "from openenv_core.env_server.types import Action, Observation, State",
        "from openenv.core.env_server import Environment",
        "from openenv.core.env_server.interfaces import Environment, Transform",
        "from openenv.core import EnvClient, StepResult",
        "from openenv.core.client_types import StepResult",
    ],
)
def test_a_path_loads_only_what_it_names(statement: str) -> None:
    code = f"import sys\n{statement}\nprint('pydantic' in sys.modules, 'starlette' in sys.modules)"
    assert fresh(code) == "False False"


def test_pydantic_models_load_no_server() -> None:
    code = "import sys\nfrom openenv.core.env_server.types import Action\n"
    assert fresh(code + "print('starlette' in sys.modules)") == "False"


@pytest.mark.parametrize("name", ["openenv_core.nothing", "openenv_core.env_server.nothing"])
def test_a_module_that_never_was_is_named_as_it_was_asked_for(name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=f"'{name}'"):
        importlib.import_module(name)


@pytest.mark.parametrize("root", ["openenv.core", "openenv_core"])
@pytest.mark.parametrize("module", ["", "env_server", "env_server.interfaces", "env_server.types"])
def test_a_name_that_never_was_is_an_import_error(root: str, module: str) -> None:
    with pytest.raises(AttributeError, match="Nothing"):
        imported(root, module, "Nothing")


def test_star_imports_give_the_listed_names() -> None:
    namespace: dict[str, Any] = {}
    exec("from openenv_core.env_server import *", namespace)
    assert namespace["Environment"] is openenv.Environment
    assert namespace["Action"] is openenv.Action


@pytest.mark.parametrize("root", ["openenv.core", "openenv_core"])
def test_the_kubernetes_provider_says_that_it_does_not_exist_yet(root: str) -> None:
    provider = imported(root, "containers.runtime", "KubernetesProvider")
    with pytest.raises(ProviderUnavailable, match="envs"):
        provider(namespace="envs")


# ------------------------------------------------- what existing models rely on


def pydantic_model(name: str) -> Any:
    return imported("openenv.core", "env_server.types", name)


def test_pydantic_actions_and_observations_refuse_unknown_fields() -> None:
    for name in ("Action", "Observation"):
        with pytest.raises(pydantic.ValidationError):
            pydantic_model(name)(unknown=1)
    assert pydantic_model("State")(score=3).score == 3


def test_pydantic_models_validate_assignment() -> None:
    observation = pydantic_model("Observation")(reward=1)
    assert (observation.done, observation.reward, observation.metadata) == (False, 1, {})
    with pytest.raises(pydantic.ValidationError):
        observation.done = "perhaps"

    state = pydantic_model("State")(episode_id="one")
    state.step_count += 1
    with pytest.raises(pydantic.ValidationError):
        state.step_count = -1
