"""What keyword arguments of `start_container` mean, without a daemon."""

from pathlib import Path
from typing import Any

import pytest

from openenv.errors import ConfigurationError
from openenv.providers.base import checked_env_vars
from openenv.providers.docker import LocalDockerProvider
from openenv.providers.docker_options import PIDS_LIMIT, ContainerOptions
from openenv.providers.process import ProcessProvider

DEFAULTS = {
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "pids_limit": PIDS_LIMIT,
    "init": True,
    "read_only": False,
}


def for_docker(**keywords: Any) -> dict[str, Any]:
    """What is asked of Docker beyond the defaults."""
    asked = ContainerOptions.of(keywords).for_docker()
    return {name: value for name, value in asked.items() if value != DEFAULTS.get(name)}


def test_without_options_containers_can_do_little() -> None:
    assert ContainerOptions.of({}).for_docker() == DEFAULTS


@pytest.mark.parametrize(
    ("keywords", "asked"),
    [
        ({"memory": "512m"}, {"mem_limit": "512m", "memswap_limit": "512m"}),
        ({"memory": 2**29}, {"mem_limit": 2**29, "memswap_limit": 2**29}),
        ({"cpus": 1.5}, {"nano_cpus": 1_500_000_000}),
        ({"network": "none"}, {"network_mode": "none"}),
        ({"network": "bridge"}, {}),
        ({"network": "mine"}, {"network": "mine"}),
        ({"read_only": True}, {"read_only": True, "tmpfs": {"/tmp": ""}}),
        ({"read_only": True, "tmpfs": "/x"}, {"read_only": True, "tmpfs": {"/x": ""}}),
        ({"tmpfs": "/tmp:size=64m"}, {"tmpfs": {"/tmp": "size=64m"}}),
        ({"tmpfs": ["/a", "/b:size=1m"]}, {"tmpfs": {"/a": "", "/b": "size=1m"}}),
        ({"tmpfs": {"/a": "size=1m"}}, {"tmpfs": {"/a": "size=1m"}}),
        ({"cap_drop": ()}, {}),
        ({"cap_add": "NET_ADMIN"}, {"cap_add": ["NET_ADMIN"]}),
        ({"no_new_privileges": False}, {}),
        ({"user": 1000}, {"user": "1000"}),
        ({"runtime": "runsc"}, {"runtime": "runsc"}),
        ({"platform": "linux/amd64"}, {"platform": "linux/amd64"}),
        ({"shm_size": "1g"}, {"shm_size": "1g"}),
        ({"command": "serve"}, {"command": "serve"}),
        ({"volumes": "data:/data"}, {"volumes": ["data:/data"]}),
        ({"volumes": ["/a:/b:ro"]}, {"volumes": ["/a:/b:ro"]}),
        ({"volumes": {"/a": "/b"}}, {"volumes": ["/a:/b"]}),
        ({"volumes": {"/a": {"bind": "/b", "mode": "ro"}}}, {"volumes": ["/a:/b:ro"]}),
        ({"gpus": 0}, {}),
        (
            {"gpus": "all"},
            {"device_requests": [{"count": -1, "capabilities": [["gpu"]]}]},
        ),
        ({"gpus": 2}, {"device_requests": [{"count": 2, "capabilities": [["gpu"]]}]}),
        (
            {"gpus": ["0", "1"]},
            {"device_requests": [{"device_ids": ["0", "1"], "capabilities": [["gpu"]]}]},
        ),
    ],
    ids=str,
)
def test_an_option_is_what_docker_calls_it(keywords: dict[str, Any], asked: dict[str, Any]) -> None:
    assert for_docker(**keywords) == asked


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"memory_gb": 0.5}, {"memory": 2**29}),
        ({"memory_gb": None}, {}),
        ({"mem_limit": "1g"}, {"memory": "1g"}),
        ({"memory_limit": "1g"}, {"memory": "1g"}),
        ({"cpu_limit": 2}, {"cpus": 2}),
        ({"network_mode": "none"}, {"network": "none"}),
        ({"memory": None, "cpus": None, "gpus": None}, {}),
    ],
    ids=str,
)
def test_names_of_existing_code_mean_the_same(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    assert ContainerOptions.of(theirs) == ContainerOptions.of(ours)


def test_folders_of_this_machine_may_be_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    asked = for_docker(volumes=["./data:/data", "~/x:/x:ro"])
    assert asked == {"volumes": [f"{tmp_path}/data:/data", "/home/me/x:/x:ro"]}


@pytest.mark.parametrize(
    ("keywords", "named"),
    [
        ({"memory": "lots"}, "lots"),
        ({"memory": -1}, "memory"),
        ({"memory": "1g", "mem_limit": "2g"}, "mem_limit"),
        ({"memory_gb": "four"}, "memory_gb"),
        ({"cpus": 0}, "cpus"),
        ({"cpus": "two"}, "cpus"),
        ({"pids_limit": "many"}, "pids_limit"),
        ({"pull": "sometimes"}, "sometimes"),
        ({"network": "host"}, "host"),
        ({"network": "container:other"}, "container:other"),
        ({"volumes": "/nowhere"}, "/nowhere"),
        ({"container_port": "http"}, "container_port"),
        ({"tmpfs": 5}, "tmpfs is text, a list of texts, or a mapping, not 5"),
        ({"volumes": 3}, "volumes is"),
        ({"volumes": {"/here": 3}}, "volumes: '/here'"),
        ({"labels": 5}, "labels is a mapping"),
        ({"labels": "a=1"}, "labels is a mapping"),
        ({"network": 1}, "network is text"),
        ({"cap_add": [1]}, "cap_add is text or a list of texts"),
        ({"read_only": "yes"}, "read_only is True or False"),
    ],
    ids=str,
)
def test_a_value_that_cannot_be_is_named(keywords: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        LocalDockerProvider(**keywords)


async def test_what_no_server_can_be_started_with_is_named() -> None:
    for provider in (LocalDockerProvider(), ProcessProvider("tests")):
        with pytest.raises(ConfigurationError, match="timeout_s is a number of seconds, not '5'"):
            await provider.open("tests", timeout_s="5")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="env_vars is a mapping"):
        ProcessProvider("tests", env_vars=["A=1"])  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="env_vars is a mapping"):
        checked_env_vars(["A=1"])


def test_options_that_do_not_exist_are_named_all_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        LocalDockerProvider(memroy="1g", memory_gb=1, detach=True)
    told, _, known = str(caught.value).partition("There are")
    assert "detach, memroy" in told
    assert "memory" not in told
    assert "memory" in known
