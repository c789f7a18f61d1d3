"""`openenv build` makes images with a real Docker, and leaves nothing of a build that fails."""

import asyncio
import os
import signal
import socket
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import openenv
from openenv.cli import docker_build
from openenv.cli.docker_build import Builder, build_image, find_builder
from openenv.cli.images import plan_image
from openenv.cli.main import app
from openenv.errors import ProviderError, ProviderUnavailable
from tests.patience import within
from tests.processes import ENVIRON, OPENENV
from tests.registry import remove_images, unique_name

ROOT = Path(__file__).parents[2]
NAME = unique_name("built")
IMAGE = NAME.replace("_", "-")
ECHO_BYTES = 200e6


@pytest.fixture
def folder(tmp_path: Path, daemon: Any) -> Iterator[Path]:
    """An environment whose image is made in no time."""
    (tmp_path / "openenv.yaml").write_text(f"name: {NAME}\nversion: 1.10\n")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY openenv.yaml /\n")
    yield tmp_path
    remove_images(daemon, NAME)


@pytest.fixture(params=["the best builder", "the builder before BuildKit"])
def builder(request: pytest.FixtureRequest, daemon: Any) -> Builder:
    best = find_builder()
    return best if request.param == "the best builder" else Builder(best.path, has_buildkit=False)


def build(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["build", *map(str, arguments)], prog_name="openenv")


@pytest.fixture
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where copies are staged, by this test alone."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.timeout(180)
def test_the_image_of_an_environment_is_small_safe_and_holds_this_openenv(daemon: Any) -> None:
    run = build(ROOT / "envs/echo_env", "--tag", f"{IMAGE}:echo")
    assert run.exit_code == 0, run.output
    assert f"built {IMAGE}:echo: " in run.stdout
    assert f"openenv run {IMAGE}:echo" in run.stdout
    image = daemon.images.get(f"{IMAGE}:echo")
    try:
        config = image.attrs["Config"]
        assert image.attrs["Size"] < ECHO_BYTES
        assert config["User"] == "1000:1000"
        assert config["Healthcheck"]["Test"][0] == "CMD"
        assert config["ExposedPorts"] == {"8000/tcp": {}}
        assert image.labels["openenv.environment"] == "echo_env"
        assert image.labels["openenv.version"] == openenv.__version__
        code = (
            "import openenv, openenv.cli.docker_build as m; print(openenv.__version__, m.__file__)"
        )
        said = daemon.containers.run(image.id, ["python", "-c", code], remove=True).decode().split()
        assert said[0] == openenv.__version__
        assert said[1].startswith("/venv/lib/")
    finally:
        # By its name alone: whoever else has built it may be using it.
        daemon.images.remove(f"{IMAGE}:echo", noprune=True)


def test_an_image_has_two_names_and_says_what_is_in_it(folder: Path, daemon: Any) -> None:
    run = build(folder)
    assert run.exit_code == 0, run.output
    short = daemon.images.get(f"{IMAGE}:latest")
    assert short.id == daemon.images.get(f"openenv-{IMAGE.removesuffix('-env')}:latest").id
    assert short.labels["org.opencontainers.image.title"] == NAME
    assert short.labels["org.opencontainers.image.version"] == "1.10"


def test_a_dockerfile_is_built_with_either_builder(folder: Path, builder: Builder) -> None:
    (folder / "Dockerfile").write_text(
        "FROM python:3.11-slim\nARG WORD\nCOPY wheels /wheels\n"
        'RUN test "$WORD" = hello && ls /wheels/openenv-*.whl\n'
    )
    steps = []
    image = build_image(
        plan_image(folder, build_args=["WORD=hello"], platform="linux/amd64"),
        builder,
        lambda event: steps.append(event.step),
    )
    assert image.id.startswith("sha256:")
    assert image.size_bytes > 0
    assert any("= hello && ls /wheels" in step for step in steps)


def test_what_fails_is_told_with_its_step_and_its_last_lines(
    folder: Path, builder: Builder
) -> None:
    (folder / "Dockerfile").write_text(
        "FROM python:3.11-slim\nRUN exec >&2; seq 1 100; echo no compiler here; exit 7\n"
    )
    with pytest.raises(ProviderError) as caught:
        build_image(plan_image(folder), builder)
    first, *lines = str(caught.value).splitlines()
    assert first.startswith(f"the image of {NAME} could not be built (Dockerfile: [")
    assert "seq 1 100" in first
    assert "  no compiler here" in lines
    assert "  99" in lines
    assert len(lines) <= docker_build.LAST_LINES
    assert "7" in lines[-1]


def test_a_mistake_in_the_dockerfile_is_shown(folder: Path, builder: Builder) -> None:
    (folder / "Dockerfile").write_text("FROM scratch\nCOPPY a b\n")
    with pytest.raises(ProviderError, match=r"(?s)could not be built.*COPPY"):
        build_image(plan_image(folder), builder)


def test_a_step_that_has_not_changed_comes_from_the_cache_unless_told_otherwise(
    folder: Path, builder: Builder
) -> None:
    (folder / "Dockerfile").write_text("FROM python:3.11-slim\nRUN head -c 9 /dev/urandom >/x\n")
    first, again = (build_image(plan_image(folder), builder) for _ in range(2))
    assert again.id == first.id
    assert build_image(plan_image(folder, uses_cache=False), builder).id != first.id


def test_a_failing_build_is_code_1_and_leaves_no_copy(folder: Path, temporary: Path) -> None:
    (folder / "Dockerfile").write_text("FROM python:3.11-slim\nRUN echo no good && false\n")
    run = build(folder, "--verbose")
    assert run.exit_code == 1
    assert "no good" in run.stdout
    assert "no good" in run.stderr
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_however_it_is_stopped_the_build_in_the_daemon_is_cancelled_too(
    folder: Path, temporary: Path, stop: signal.Signals
) -> None:
    seconds = f"9{os.getpid()}.{stop.value}"
    (folder / "Dockerfile").write_text(f"FROM python:3.11-slim\nRUN echo going; sleep {seconds}\n")
    process = await asyncio.create_subprocess_exec(
        *(*OPENENV, "build", str(folder), "--verbose"),
        env=ENVIRON | {"TMPDIR": str(temporary)},
        stdout=PIPE,
        stderr=PIPE,
    )
    assert process.stdout is not None
    async with within(50):
        async for line in process.stdout:
            if line.strip() == b"going":
                break
        assert await asyncio.to_thread(processes_with, seconds)
        process.send_signal(stop)
        _, log = await process.communicate()
        if stop != signal.SIGKILL:
            assert process.returncode == 130
            assert log.decode() == "openenv: stopped\n"
        # The daemon ends the step a moment after nobody wants it any more.
        while await asyncio.to_thread(processes_with, seconds):
            await asyncio.sleep(0.05)
        while await asyncio.to_thread(os.listdir, temporary):
            assert stop == signal.SIGKILL
            await asyncio.sleep(0.05)


def processes_with(word: str) -> list[Path]:
    """Processes of this machine, those in containers too, with this in their command line."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            if word.encode() in file.read_bytes():
                found.append(file)
    return found


# ---- without Docker


def test_without_a_daemon_it_is_said_what_to_start(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/no.sock")
    run = build(folder)
    assert run.exit_code == 1
    assert "no Docker daemon answers" in run.stderr
    assert "set DOCKER_HOST" in run.stderr


def test_a_daemon_that_does_not_answer_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_build, "ANSWER_TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(ProviderUnavailable, match="no answer within"):
            find_builder()


def test_without_docker_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(docker_build, "_PLACES", ())
    with pytest.raises(ProviderUnavailable, match="install Docker"):
        find_builder()


def test_what_is_wrong_with_the_command_line_is_said(folder: Path) -> None:
    for option, complaint in (
        (("--build-arg", "A"), "is not of the form NAME=VALUE"),
        (("--tag", "My Env"), "is no name of an image"),
        (("--dockerfile", "no/such"), "there is no Dockerfile no/such"),
    ):
        run = build(folder, *option)
        assert run.exit_code == 1
        assert complaint in run.stderr
