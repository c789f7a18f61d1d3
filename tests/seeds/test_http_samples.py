"""Published samples that speak HTTP, run as they are written: samples/*.txt hold their text.

What a sample leaves out is added here, in `run`, where a comment says so.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from openenv.app import create_app
from tests.serving import serving_elsewhere

SAMPLES = Path(__file__).parent / "samples"


@pytest.fixture
def package() -> Iterator[str]:
    """The name of an empty package, in which samples may import each other."""
    name = "sample_package"
    sys.modules[name] = ModuleType(name)
    yield name
    for module in [one for one in sys.modules if one.partition(".")[0] == name]:
        del sys.modules[module]


def run(sample: str, name: str, **added: Any) -> ModuleType:
    """Run a sample, up to where it needs Docker, as the module of this name."""
    text = (SAMPLES / f"{sample}.txt").read_text(encoding="utf-8").partition("# Use with Docker")[0]
    module = sys.modules[name] = ModuleType(name)
    module.__package__ = name.rpartition(".")[0]
    module.__dict__.update(added)
    exec(compile(text, sample, "exec"), module.__dict__)
    return module


def test_the_first_readmes_client_plays_with_its_server(package: str) -> None:
    server = run("readme_server", f"{package}.server")
    # `Any` is used but not imported.
    client = run("readme_client", f"{package}.client", Any=Any)
    with serving_elsewhere(server.app) as url:
        env = client.MyEnvClient(base_url=url)
        assert env.reset().observation == client.MyObservation(response="Ready")
        result = env.step(client.MyAction(text="hello"))
        assert result.observation == client.MyObservation(response="Echo: hello")
        assert (result.reward, result.done) == (1.0, False)
        assert env.state()["step_count"] == 1
        env.close()


def test_the_first_readmes_server_plays_over_plain_http(package: str) -> None:
    server = run("readme_server", f"{package}.server")
    with serving_elsewhere(server.app) as url, httpx.Client(base_url=url) as http:
        assert http.post("/reset", json={}).json()["observation"] == {"response": "Ready"}
        step = http.post("/step", json={"action": {"text": "hi"}, "timeout_s": 15})
        assert step.json() == {
            "observation": {"response": "Echo: hi"},
            "reward": 1.0,
            "done": False,
        }


def test_the_guides_client_plays_with_its_fastapi_app(package: str) -> None:
    environment = run("guide_environment", f"{package}.my_environment")
    app = run("guide_app", f"{package}.app").app
    classes = {
        name: getattr(environment, name) for name in ("MyAction", "MyObservation", "MyState")
    }
    # The classes are used but not imported.
    client = run("guide_client", f"{package}.client", **classes)
    with serving_elsewhere(app) as url, client.MyEnv.from_url(url) as env:
        assert env.reset().observation == environment.MyObservation(result="Environment reset")
        result = env.step(environment.MyAction(command="go"))
        assert result.observation == environment.MyObservation(result="Processed: go", reward=1.0)
        assert env.state() == environment.MyState(step_count=1)
        # The server's own /health comes first.
        assert httpx.get(f"{url}/health").json()["status"] == "healthy"


def test_the_guides_echo_environment_has_a_state_that_is_a_dict(package: str) -> None:
    # `time` is used but not imported.
    sample = run("guide_echo_environment", f"{package}.echo", time=time)
    app = create_app(sample.EchoEnvironment)
    with serving_elsewhere(app) as url, httpx.Client(base_url=url) as http:
        assert http.post("/reset").json()["observation"]["echo"] == "Ready"
        step = http.post("/step", json={"action": {"message": "hi"}})
        assert step.json()["observation"]["echo"] == "Echo: hi"
        assert http.get("/state").json() == {"status": "running"}
