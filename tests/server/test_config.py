"""ServerConfig: what may be set, where it comes from, and what is refused."""

from typing import Any

import pytest

from openenv.errors import ConfigurationError
from openenv.server.config import ServerConfig


@pytest.mark.parametrize(
    ("environ", "given", "name", "value"),
    [
        ({}, {}, "close_timeout_s", 10.0),
        ({"OPENENV_CLOSE_TIMEOUT_S": "2"}, {}, "close_timeout_s", 2.0),
        ({"OPENENV_CLOSE_TIMEOUT_S": ""}, {}, "close_timeout_s", 10.0),
        ({"OPENENV_CLOSE_TIMEOUT_S": "2"}, {"close_timeout_s": 3.0}, "close_timeout_s", 3.0),
        ({"OPENENV_CLOSE_TIMEOUT_S": "2"}, {"close_timeout_s": None}, "close_timeout_s", 2.0),
        ({"OPENENV_STEP_TIMEOUT_S": "0.5"}, {}, "step_timeout_s", 0.5),
        ({"OPENENV_WORKERS": "3"}, {}, "workers", 3),
        ({"OPENENV_EXECUTION": "inline"}, {}, "execution", "inline"),
        ({"OPENENV_SHARED_MEMORY_BYTES": "0"}, {}, "shared_memory_bytes", 0),
        ({"MAX_CONCURRENT_ENVS": "4"}, {}, "max_concurrent_envs", 4),
        (
            {"MAX_CONCURRENT_ENVS": "4", "OPENENV_MAX_CONCURRENT_ENVS": "5"},
            {},
            "max_concurrent_envs",
            5,
        ),
        ({"ENABLE_WEB_INTERFACE": "true"}, {}, "web", True),
        ({"OPENENV_WATCH": "1"}, {}, "watch", True),
        ({"OPENENV_WATCH": "YES"}, {}, "watch", True),
        ({"OPENENV_WATCH": "0"}, {}, "watch", False),
        ({"OPENENV_DEBUG": "no"}, {}, "debug", False),
    ],
)
def test_a_setting_comes_from_the_caller_or_else_from_the_variables(
    environ: dict[str, str], given: dict[str, Any], name: str, value: object
) -> None:
    found = getattr(ServerConfig.from_env(environ, **given), name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "text"),
    [("OPENENV_WORKERS", "many"), ("OPENENV_WORKERS", "1.5"), ("OPENENV_GRACE_S", "long")],
)
def test_a_variable_that_is_no_number_is_named(name: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        ServerConfig.from_env({name: text})


@pytest.mark.parametrize(
    ("settings", "is_refused"),
    [
        ({"close_timeout_s": 0}, True),
        ({"step_timeout_s": -1.0}, True),
        ({"workers": 0}, True),
        ({"max_queued_requests": 0}, True),
        ({"step_timeout_s": None}, False),
        ({"workers": None}, False),
        ({"watch": False}, False),
        ({"shared_memory_bytes": 0}, False),
        ({"shared_memory_bytes": -1}, True),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    settings: dict[str, Any], is_refused: bool
) -> None:
    if not is_refused:
        ServerConfig(**settings)
        return
    [name] = settings
    with pytest.raises(ConfigurationError, match=name):
        ServerConfig(**settings)


def test_a_variable_is_checked_like_a_setting() -> None:
    with pytest.raises(ConfigurationError, match="grace_s"):
        ServerConfig.from_env({"OPENENV_GRACE_S": "-1"})
