"""The import paths that existing environments and trainers use, frozen: none of them may break.

A feature that does not exist yet has no row; it gets its rows together with the feature.
"""

import asyncio
import dataclasses
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pydantic
import pytest

import openenv
from openenv.errors import PayloadError, ProviderUnavailable
from openenv.protocol import legacy

ROOT = Path(__file__).parents[2]

MODELS = ("Action", "Observation", "State")
ERRORS = [
    "ConcurrencyConfigurationError",
    "EnvironmentFactoryError",
    "OpenEnvError",
    "SessionCapacityError",
    "SessionCreationError",
    "SessionNotFoundError",
]
SERIALIZATION = [
    "deserialize_action",
    "deserialize_action_with_preprocessing",
    "serialize_observation",
]

# module below `openenv.core` -> the names that are imported from it.
TABLE = {
    "": ["EnvClient", "GenericEnvClient", "HTTPEnvClient", "StepResult", "SyncEnvClient"],
    "client_types": ["StepResult"],
    "containers.runtime": [
        "ContainerProvider",
        "KubernetesProvider",
        "LocalDockerProvider",
        "RuntimeProvider",
        "UVProvider",
    ],
    "env_client": ["EnvClient", "StepResult"],
    "env_server": [
        "CompositeTransform",
        "ConcurrencyConfig",
        "Environment",
        "HTTPEnvServer",
        "HealthStatus",
        "Message",
        "ModelTokenizer",
        "NullTransform",
        "ServerMode",
        "Transform",
        "create_app",
        "create_fastapi_app",
        "create_hf_web_interface_app",
        "create_web_interface_app",
        *ERRORS,
        *SERIALIZATION,
        *MODELS,
    ],
    "env_server.base_transforms": ["CompositeTransform", "NullTransform"],
    "env_server.exceptions": ERRORS,
    "env_server.http_server": [
        "HTTPEnvServer",
        "create_app",
        "create_fastapi_app",
        "create_hf_web_interface_app",
        "create_web_interface_app",
    ],
    "env_server.interfaces": ["Environment", "Message", "ModelTokenizer", "Transform", *MODELS],
    "env_server.serialization": SERIALIZATION,
    "env_server.types": [
        "CodeExecResult",
        "ConcurrencyConfig",
        "EnvironmentMetadata",
        "HealthResponse",
        "HealthStatus",
        "ServerCapacityStatus",
        "ServerMode",
        "SessionInfo",
        "WSErrorCode",
        "WSErrorResponse",
        *MODELS,
    ],
    "env_server.web_interface": ["create_hf_web_interface_app", "create_web_interface_app"],
    "generic_client": ["GenericAction", "GenericEnvClient"],
    "http_env_client": ["HTTPEnvClient"],
    "sync_client": ["SyncEnvClient"],
    "utils": ["convert_to_ws_url", "run_async_safely"],
}
ROWS = [(module, name) for module, names in TABLE.items() for name in names]

# Where a name of the table is defined under another name, or elsewhere than in `openenv`.
ORIGINS = {
    **dict.fromkeys(("CompositeTransform", "NullTransform", "Transform"), "openenv.environment"),
    **dict.fromkeys(("Message", "ModelTokenizer"), "openenv.llm.chat"),
    **dict.fromkeys(ERRORS, "openenv.errors"),
    **dict.fromkeys(SERIALIZATION, "openenv.server.http.serialization"),
    **dict.fromkeys(
        (
            "ConcurrencyConfig",
            "HTTPEnvServer",
            "ServerCapacityStatus",
            "ServerMode",
            "SessionInfo",
            "create_fastapi_app",
        ),
        "openenv.server.http.http_server",
    ),
    **dict.fromkeys(
        ("CodeExecResult", "HealthResponse", "HealthStatus", "WSErrorCode", "WSErrorResponse"),
        "openenv.core.env_server.types",
    ),
    **dict.fromkeys(("create_hf_web_interface_app", "create_web_interface_app"), "openenv.app"),
    **dict.fromkeys(("convert_to_ws_url", "run_async_safely"), "openenv.core.utils"),
    "EnvironmentMetadata": "openenv.models:EnvironmentInfo",
    "ContainerProvider": "openenv.providers.base",
    "KubernetesProvider": "openenv.providers.kubernetes",
    "RuntimeProvider": "openenv.providers.process",
    "UVProvider": "openenv.providers.uv",
    "LocalDockerProvider": "openenv.providers.docker",
}


def imported(root: str, module: str, name: str) -> Any:
    """What `from root.module import name` gives."""
    found = importlib.import_module(f"{root}.{module}".rstrip("."))
    return getattr(found, name)


def original(name: str) -> Any:
    module, _, attribute = ORIGINS.get(name, "openenv").partition(":")
    return getattr(importlib.import_module(module), attribute or name)


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


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("auto", "AutoEnv"),
        ("auto", "AutoAction"),
        ("auto.auto_env", "AutoEnv"),
        ("auto.auto_action", "AutoAction"),
    ],
)
def test_what_finds_environments_is_found_where_it_was(module: str, name: str) -> None:
    assert imported("openenv", module, name) is getattr(openenv, name)


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
        "from openenv.core.env_server.interfaces import Environment, Message, Transform",
        "from openenv.core.env_server.serialization import serialize_observation",
        "from openenv.core.env_server import NullTransform, SessionCapacityError",
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


def test_the_codes_of_errors_are_those_that_are_sent() -> None:
    sent = {*legacy._CODE_TO_LEGACY.values(), "INVALID_JSON", "EXECUTION_ERROR"}
    assert set(imported("openenv.core", "env_server.types", "WSErrorCode")) == sent


def test_a_form_s_text_becomes_what_the_fields_take() -> None:
    class Move(pydantic_model("Action")):  # type: ignore[misc]
        action_id: int
        tokens: list[int]
        text: str = ""

    read = imported("openenv.core", "env_server.serialization", SERIALIZATION[1])
    move = read({"action_id": "3", "tokens": "[1, 2]", "text": "4"}, Move)
    assert (move.action_id, move.tokens, move.text) == (3, [1, 2], "4")
    with pytest.raises(PayloadError) as caught:
        read({"action_id": "3", "tokens": "1 and 2"}, Move)
    assert caught.value.path == ".tokens"
    with pytest.raises(PayloadError):
        read({"action_id": "three", "tokens": []}, Move)


def test_an_observation_becomes_a_dict_with_reward_and_done_beside_it() -> None:
    class Seen(pydantic_model("Observation")):  # type: ignore[misc]
        x: int

    show = imported("openenv.core", "env_server.serialization", "serialize_observation")
    assert show(Seen(x=1, done=True, reward=2)) == {
        "observation": {"x": 1},
        "reward": 2,
        "done": True,
    }
    shown = show(Seen(x=1, truncated=True, metadata={"a": 1}))
    assert (shown["truncated"], shown["metadata"]) == (True, {"a": 1})


async def three() -> int:
    return 3


def test_a_coroutine_runs_to_its_end_with_or_without_a_running_loop() -> None:
    run_async_safely = imported("openenv.core", "utils", "run_async_safely")

    async def inside() -> Any:
        return run_async_safely(three())

    assert run_async_safely(three()) == 3
    assert asyncio.run(inside()) == 3


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://a:1", "ws://a:1"),
        ("https://a/", "wss://a"),
        ("ws://a/ws", "ws://a/ws"),
        ("wss://a/base/", "wss://a/base"),
        ("a:1", "ws://a:1"),
    ],
)
def test_a_url_becomes_one_of_websockets(url: str, expected: str) -> None:
    assert imported("openenv.core", "utils", "convert_to_ws_url")(url) == expected
