"""Servers in containers: how they are reached, what they may, and that they are gone afterwards."""

import asyncio
import gc
import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from envs.echo_env import EchoAction, EchoEnv
from openenv.client.generic import GenericEnvClient
from openenv.client.http.client import HTTPEnvClient
from openenv.errors import ConfigurationError, LocalProtocolError, ProviderError
from openenv.providers.base import Endpoint
from openenv.providers.docker import LocalDockerProvider
from openenv.providers.docker_options import PIDS_LIMIT
from openenv.providers.health import health_status
from tests.containers import REQUIRED, Containers
from tests.patience import patient

SLEEP = ["sleep", "60"]
GVISOR = "runsc"


def host_config(containers: Containers, **options: Any) -> dict[str, Any]:
    """What Docker says of a container that is started with some options, and serves nothing."""
    provider = LocalDockerProvider(command=SLEEP)
    provider.start_container(containers.image, **options)
    try:
        container = containers.get(provider.container_name)
        attributes: dict[str, Any] = container.attrs
        container.remove(force=True)  # as it does not listen to SIGTERM without an init
    finally:
        provider.stop_container()
    return {**attributes["HostConfig"], "Config": attributes["Config"]}


# ---- from start to stop


def test_three_blocking_calls_start_a_server_and_stop_it(containers: Containers) -> None:
    provider = LocalDockerProvider()
    base_url = provider.start_container(containers.image)
    provider.wait_for_ready(base_url)
    assert provider.container_name in containers.left()
    with EchoEnv(base_url).sync() as env:
        env.reset()
        assert env.step(EchoAction(message="hello")).observation.echoed_message == "hello"
    provider.stop_container()
    assert provider.container_name is None
    assert containers.left() == []
    assert health_status(base_url) is None
    provider.stop_container()  # there is nothing to stop any more


async def test_awaited_a_client_has_a_container_until_it_is_closed(containers: Containers) -> None:
    async with EchoEnv.from_docker_image(containers.image) as env:
        await env.reset()
        assert (await env.step(EchoAction(message="hello"))).reward == 0.5
        assert len(containers.left()) == 1
    assert containers.left() == []


def test_the_client_over_http_has_one_too(containers: Containers) -> None:
    with HTTPEnvClient.from_docker_image(containers.image) as env:
        env.reset()
        assert env.step({"message": "hello"}).reward == 0.5
    assert containers.left() == []


def test_a_disconnected_client_leaves_its_container_to_the_provider(containers: Containers) -> None:
    provider = LocalDockerProvider()
    env = EchoEnv.from_docker_image(containers.image, provider)
    env.reset()
    env.disconnect()
    assert containers.left() == [provider.container_name]
    provider.stop_container()


async def test_two_run_at_once_each_on_a_port_that_docker_gave(containers: Containers) -> None:
    providers = [LocalDockerProvider(), LocalDockerProvider()]
    opened = await asyncio.gather(*(one.open(containers.image) for one in providers))
    try:
        assert opened[0].url != opened[1].url
        assert all(urlsplit(one.url).hostname == "127.0.0.1" for one in opened)
        async with (
            GenericEnvClient(opened[0].url) as one,
            GenericEnvClient(opened[1].url) as other,
        ):
            await asyncio.gather(one.reset(), other.reset())
            assert (await one.step({"message": "a"})).observation["echoed_message"] == "a"
    finally:
        await asyncio.gather(*(one.aclose() for one in providers))


def test_a_provider_runs_one_at_a_time_and_then_another(containers: Containers) -> None:
    provider = LocalDockerProvider(command=SLEEP)
    with pytest.raises(LocalProtocolError):
        provider.wait_for_ready("http://127.0.0.1:1")
    provider.start_container(containers.image)
    first = provider.container_name
    with pytest.raises(LocalProtocolError):
        provider.start_container(containers.image)
    with pytest.raises(LocalProtocolError):
        asyncio.run(provider.open(containers.image))
    assert containers.left() == [first]
    provider.stop_container()
    provider.start_container(containers.image)
    assert containers.left() == [provider.container_name]
    assert provider.container_name != first
    provider.stop_container()


def test_a_provider_that_nobody_has_any_more_takes_its_container_along(
    containers: Containers,
) -> None:
    provider = LocalDockerProvider(command=SLEEP)
    provider.start_container(containers.image)
    del provider
    gc.collect()
    assert containers.left() == []


def test_a_detached_container_stays(containers: Containers) -> None:
    provider = LocalDockerProvider(detached=True, command=SLEEP)
    provider.start_container(containers.image)
    name = provider.container_name
    del provider
    gc.collect()
    assert containers.left() == [name]
    containers.get(name).remove(force=True)


def test_a_container_that_somebody_else_has_removed_is_no_trouble(containers: Containers) -> None:
    provider = LocalDockerProvider(command=SLEEP, network="none")
    url = provider.start_container(containers.image)
    containers.get(provider.container_name).remove(force=True)
    provider.stop_container()
    assert not Path(url.removeprefix("unix:")).parent.parent.exists()


# ---- where it is reached


def test_a_given_port_is_this_machines(containers: Containers) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with EchoEnv.from_docker_image(containers.image, port=port) as env:
        assert env.base_url == f"http://127.0.0.1:{port}"
        env.reset()


@pytest.mark.parametrize(
    ("host", "reached"), [("0.0.0.0", "127.0.0.1"), ("127.0.0.2", "127.0.0.2")]
)
def test_it_is_published_where_it_shall_be(containers: Containers, host: str, reached: str) -> None:
    provider = LocalDockerProvider(host=host, command=SLEEP)
    url = provider.start_container(containers.image)
    assert urlsplit(url).hostname == reached
    [bound] = containers.get(provider.container_name).attrs["HostConfig"]["PortBindings"].values()
    assert bound[0]["HostIp"] == host
    provider.stop_container()


def test_a_port_that_is_taken_is_said_to_be(containers: Containers) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ProviderError, match="leave out the port"):
            LocalDockerProvider().start_container(containers.image, taken.getsockname()[1])
    assert containers.left() == []


def test_a_server_may_listen_elsewhere_inside(containers: Containers) -> None:
    serve = ["openenv", "serve", "echo_env", "--host", "0.0.0.0", "--port", "9001"]
    options = {"command": serve, "container_port": 9001}
    with EchoEnv.from_docker_image(containers.image, **options) as env:
        env.reset()
    # What the guide's clients call, with the port as it is inside.
    with EchoEnv._from_docker(containers.image, 9001, command=serve) as env:
        env.reset()


async def test_without_a_network_it_is_reached_by_a_socket(containers: Containers) -> None:
    provider = LocalDockerProvider(network="none")
    async with EchoEnv.from_docker_image(containers.image, provider) as env:
        assert env.base_url.startswith("unix:")
        await env.reset()
        assert (await env.step(EchoAction(message="hello"))).reward == 0.5
        container = containers.get(provider.container_name)
        connect = "import socket; socket.create_connection(('1.1.1.1', 53), 1)"
        code, said = container.exec_run(["python", "-c", connect])
        assert (code, b"unreachable" in said) == (1, True)
    folder = Path(env.base_url.removeprefix("unix:")).parent.parent
    assert not folder.exists()


def test_without_a_network_there_is_no_port(containers: Containers) -> None:
    with pytest.raises(ConfigurationError, match="no port"):
        LocalDockerProvider(network="none").start_container(containers.image, 8000)


# ---- what it may


def test_unless_told_otherwise_it_can_do_little(containers: Containers) -> None:
    config = host_config(containers)
    assert config["CapDrop"] == ["ALL"]
    assert config["SecurityOpt"] == ["no-new-privileges"]
    assert (config["PidsLimit"], config["Init"]) == (PIDS_LIMIT, True)
    assert (config["Privileged"], config["CapAdd"]) == (False, None)
    assert config["PortBindings"]["8000/tcp"][0]["HostIp"] == "127.0.0.1"


def test_every_option_reaches_the_container(containers: Containers, tmp_path: Path) -> None:
    config = host_config(
        containers,
        env_vars={"ONE": 1},
        memory="512m",
        cpus=0.5,
        read_only=True,
        tmpfs="/scratch:size=1m",
        cap_add=["NET_BIND_SERVICE"],
        no_new_privileges=False,
        pids_limit=77,
        volumes={str(tmp_path): {"bind": "/data", "mode": "ro"}},
        user="1234:1234",
        shm_size="8m",
        labels={"mine": "yes"},
        runtime="runc",
        init=False,
    )
    assert (config["Memory"], config["MemorySwap"]) == (2**29, 2**29)
    assert (config["NanoCpus"], config["PidsLimit"]) == (500_000_000, 77)
    assert config["ReadonlyRootfs"] is True
    assert config["Tmpfs"] == {"/scratch": "size=1m"}
    assert (config["CapAdd"], config["SecurityOpt"]) == (["NET_BIND_SERVICE"], None)
    assert config["Binds"] == [f"{tmp_path}:/data:ro"]
    assert (config["ShmSize"], config["Runtime"], config["Init"]) == (2**23, "runc", False)
    assert config["Config"]["User"] == "1234:1234"
    assert config["Config"]["Labels"]["mine"] == "yes"
    assert "ONE=1" in config["Config"]["Env"]


def test_gvisor_s_kernel_serves_in_place_of_the_host_s(containers: Containers) -> None:
    if GVISOR not in containers.client.info()["Runtimes"] and not os.environ.get(REQUIRED):
        pytest.skip(f"opt-in: Docker has no runtime {GVISOR}; docs/howto/containers.md says how")
    provider = LocalDockerProvider(runtime=GVISOR)
    with EchoEnv.from_docker_image(containers.image, provider) as env:
        env.reset()
        assert env.step(EchoAction(message="hello")).reward == 0.5
        container = containers.get(provider.container_name)
        code, said = container.exec_run(["cat", "/proc/version"])
    assert code == 0
    assert said != Path("/proc/version").read_bytes()


def test_options_of_the_provider_hold_until_a_start_says_otherwise(containers: Containers) -> None:
    provider = LocalDockerProvider(command=SLEEP, cpus=2, memory="512m")
    provider.start_container(containers.image, cpus=1)
    config = containers.get(provider.container_name).attrs["HostConfig"]
    provider.stop_container()
    assert (config["NanoCpus"], config["Memory"]) == (10**9, 2**29)


def test_a_read_only_server_without_network_and_privileges_serves(containers: Containers) -> None:
    options: dict[str, Any] = {"network": "none", "read_only": True, "memory": "256m", "cpus": 1}
    with EchoEnv.from_docker_image(containers.image, user="4321:4321", **options) as env:
        env.reset()
        assert env.step(EchoAction(message="hello")).reward == 0.5


def test_a_container_may_have_a_name_and_a_network_of_dockers(containers: Containers) -> None:
    name = containers.image.partition(":")[0]
    network = containers.client.networks.create(name, internal=False)
    try:
        provider = LocalDockerProvider(name=name, network=name, command=SLEEP)
        provider.start_container(containers.image)
        assert provider.container_name == name
        assert list(containers.get(name).attrs["NetworkSettings"]["Networks"]) == [name]
        provider.stop_container()
    finally:
        network.remove()


def test_torchforge_finds_the_keywords_it_uses(containers: Containers) -> None:
    env = EchoEnv.from_docker_image(
        containers.image,
        timeout_s=patient(60),
        request_timeout_s=20,
        env_vars={"ONE": "1"},
        port=None,
        memory_gb=1,
    )
    try:
        [name] = containers.left()
        assert containers.get(name).attrs["HostConfig"]["Memory"] == 2**30
        env.reset()
        assert env.step(EchoAction(message="hello")).reward == 0.5
    finally:
        env.close()


def test_an_image_without_a_healthcheck_is_asked_for_its_health(containers: Containers) -> None:
    serve = ("openenv", "serve", "echo_env", "--host", "0.0.0.0")
    name = "openenv-tests-unchecked:latest"
    with (
        containers.image_of(name, {}, *serve, more="HEALTHCHECK NONE"),
        EchoEnv.from_docker_image(name) as env,
    ):
        env.reset()
    assert containers.left() == []


async def test_the_async_twin_returns_an_endpoint(containers: Containers) -> None:
    provider = LocalDockerProvider()
    endpoint = await provider.open(containers.image, None, {"ONE": "1"}, timeout_s=patient(60))
    try:
        assert isinstance(endpoint, Endpoint)
        assert health_status(endpoint.url) == 200
    finally:
        await provider.aclose()


def test_an_image_is_found_by_either_spelling(containers: Containers) -> None:
    base = containers.image.partition(":")[0]
    containers.client.images.get(containers.image).tag(base.replace("-", "_"), "spelled")
    try:
        provider = LocalDockerProvider(command=SLEEP)
        provider.start_container(f"{base}:spelled")
        provider.stop_container()
    finally:
        containers.client.images.remove(f"{base.replace('-', '_')}:spelled", noprune=True)
