"""Images reach a real registry, with and without login; what it refuses is said, and what to do."""

import asyncio
import json
import signal
import socket
import sys
import urllib.request
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from openenv.cli import docker_push
from openenv.cli.commands.push import _login
from openenv.cli.docker_push import Login, repository_in
from openenv.cli.main import app
from openenv.errors import ConfigurationError
from openenv.manifest import Manifest, read_manifest
from tests.patience import within
from tests.processes import ENVIRON, OPENENV
from tests.registry import PASSWORD, USER, docker_login, registry, remove_images, unique_name

NAME = unique_name("pushed")
IMAGE = NAME.replace("_", "-")
NOBODY = "127.0.0.1:9"


@pytest.fixture
def folder(tmp_path: Path, daemon: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An environment whose image is made in no time; afterwards Docker has it no more."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    folder = tmp_path / "pushed"
    folder.mkdir()
    (folder / "openenv.yaml").write_text(f"name: {NAME}\n")
    (folder / "Dockerfile").write_text("FROM scratch\nARG KEPT\nCOPY openenv.yaml /\n")
    yield folder
    remove_images(daemon, NAME)


def push(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["push", *map(str, arguments)], prog_name="openenv", input=stdin)


def digest_in(host: str, name: str, tag: str) -> str:
    request = urllib.request.Request(f"http://{host}/v2/{name}/manifests/{tag}")
    request.add_header("Accept", "application/vnd.docker.distribution.manifest.v2+json")
    with urllib.request.urlopen(request) as reply:
        return str(reply.headers["Docker-Content-Digest"])


def test_an_image_is_built_and_arrives_and_its_digest_is_shown(
    folder: Path, tmp_path: Path
) -> None:
    with registry(tmp_path) as host:
        run = push(folder, "--registry", host)
        assert run.exit_code == 0, run.output
        digest = digest_in(host, IMAGE, "latest")
    assert f"built {IMAGE}:latest and " in run.stdout
    assert f"pushed {host}/{IMAGE}:latest: {digest}\n" in run.stdout
    assert f"openenv run {host}/{IMAGE}:latest\n" in run.stdout


def test_tags_and_whose_it_is_can_be_given(folder: Path, tmp_path: Path) -> None:
    with registry(tmp_path) as host:
        run = push(folder, "--registry", host, "--namespace", "me", "-t", "1.0", "-t", "1")
        assert run.exit_code == 0, run.output
        with urllib.request.urlopen(f"http://{host}/v2/me/{IMAGE}/tags/list") as reply:
            assert sorted(json.load(reply)["tags"]) == ["1", "1.0"]


def test_what_was_built_before_can_be_pushed_as_it_is(folder: Path, tmp_path: Path) -> None:
    with registry(tmp_path) as host:
        run = push(folder, "--registry", host, "--no-build")
        assert run.exit_code == 1
        assert f"there is no image {IMAGE}:latest here: leave out --no-build" in run.stderr
        built = CliRunner().invoke(app, ["build", str(folder), "--build-arg", "KEPT=1"])
        assert built.exit_code == 0
        run = push(folder, "--registry", host, "--no-build")
        assert run.exit_code == 0, run.output
        assert "built" not in run.stdout
        assert digest_in(host, IMAGE, "latest") in run.stdout


# ---- login


def test_who_logs_in_may_push_and_the_password_is_kept_nowhere(
    folder: Path, tmp_path: Path
) -> None:
    with registry(tmp_path, login=True) as host:
        options = ("--registry", host, "--username", USER, "--password-stdin")
        run = push(folder, *options, stdin=f"{PASSWORD}\n")
    assert run.exit_code == 0, run.output
    assert "sha256:" in run.stdout
    assert PASSWORD not in run.output
    assert not (tmp_path / "docker/config.json").exists()


def test_a_login_of_docker_s_own_counts(folder: Path, tmp_path: Path) -> None:
    with registry(tmp_path, login=True) as host:
        docker_login(host, tmp_path / "docker")
        run = push(folder, "--registry", host)
    assert run.exit_code == 0, run.output


def test_a_refused_login_is_said_before_anything_is_built(folder: Path, tmp_path: Path) -> None:
    with registry(tmp_path, login=True) as host:
        options = ("--registry", host, "--username", USER, "--password-stdin")
        run = push(folder, *options, stdin="wrong\n")
    assert (run.exit_code, run.stdout) == (1, "")
    assert f"{host} refuses the login of {USER}" in run.stderr
    assert "are user name and password right?" in run.stderr


def test_without_a_login_where_one_is_needed_it_is_said_how(folder: Path, tmp_path: Path) -> None:
    with registry(tmp_path, login=True) as host:
        run = push(folder, "--registry", host)
    assert run.exit_code == 1
    assert f"{host}/{IMAGE} cannot be pushed" in run.stderr
    assert f"give --username and --password-stdin, or `docker login {host}` first" in run.stderr


@pytest.mark.parametrize("options", [(), ("--username", USER, "--password-stdin")])
def test_a_registry_that_is_not_there_is_said(folder: Path, options: tuple[str, ...]) -> None:
    run = push(folder, "--registry", NOBODY, *options, stdin=f"{PASSWORD}\n")
    assert run.exit_code == 1
    assert f"does a registry answer at {NOBODY}?" in run.stderr


def test_what_could_not_be_pushed_is_called_as_before(folder: Path, daemon: Any) -> None:
    name = f"{NOBODY}/{IMAGE}:latest"
    assert push(folder, "--registry", NOBODY).exit_code == 1
    made = daemon.images.get(f"{IMAGE}:latest")
    assert name not in made.tags
    made.tag(name)
    (folder / "openenv.yaml").write_text(f"name: {NAME}\nversion: 1.0.1\n")
    assert push(folder, "--registry", NOBODY).exit_code == 1
    assert daemon.images.get(f"{IMAGE}:latest").id != made.id
    assert name in daemon.images.get(name).tags
    assert daemon.images.get(name).id == made.id


# ---- what ends it early


def test_a_dockerfile_that_fails_pushes_nothing(folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY no/such/file /\n")
    run = push(folder, "--registry", NOBODY)
    assert run.exit_code == 1
    assert "could not be built" in run.stderr
    assert "no/such/file" in run.stderr
    assert "cannot be pushed" not in run.stderr


async def test_ctrl_c_ends_a_push_to_a_registry_that_never_answers(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        process = await asyncio.create_subprocess_exec(
            *(*OPENENV, "push", str(folder), "--registry", host),
            env=ENVIRON,
            stdout=PIPE,
            stderr=PIPE,
        )
        async with within(40):
            connection, _ = await asyncio.get_running_loop().sock_accept(silent)
            process.send_signal(signal.SIGINT)
            _, log = await process.communicate()
        connection.close()
    assert process.returncode == 130
    assert log.decode() == "openenv: stopped\n"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--registry", "https://ghcr.io"), "is named without https://"),
        (("--registry", "ghcr.io/Me"), "small letters"),
        (("--registry", NOBODY, "--tag", "a:b"), "--tag a:b: a tag has letters"),
        (("--registry", NOBODY, "--password-stdin"), "--password-stdin needs --username"),
        (("--registry", NOBODY, "--username", USER), "--username needs the password"),
        (
            ("--registry", NOBODY, "--username", USER, "--password-stdin"),
            f"the password of {USER} on stdin is empty",
        ),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_built(
    folder: Path, options: tuple[str, ...], complaint: str
) -> None:
    run = push(folder, *options, stdin="")
    assert (run.exit_code, run.stdout) == (1, "")
    assert complaint in run.stderr


def test_what_is_no_environment_is_not_pushed(tmp_path: Path) -> None:
    run = push(tmp_path, "--registry", NOBODY)
    assert run.exit_code == 1
    assert "is no environment: it holds no openenv.yaml" in run.stderr


def test_on_a_terminal_the_password_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(typer, "prompt", lambda text, **_: f"answer to {text}")
    assert _login(USER, password_stdin=False) == Login(USER, f"answer to Password of {USER}")


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("http: server gave HTTP response to HTTPS client", "name h:5000 in insecure-registries"),
        ("denied: requested access to the resource is denied", "may tester push there?"),
        ("dial tcp 10.0.0.1:5000: connect: no route to host", "does a registry answer at h:5000?"),
        ("blob upload unknown", "the registry's own log may say more"),
    ],
)
def test_what_a_registry_says_comes_with_what_to_do(said: str, remedy: str) -> None:
    told = docker_push._failure("h:5000/me/my-env", said, Login(USER, PASSWORD))
    assert told.startswith(f"h:5000/me/my-env cannot be pushed: {said} (")
    assert remedy in told
    assert PASSWORD not in repr(Login(USER, PASSWORD))


@pytest.mark.parametrize(
    ("registry", "namespace", "repository"),
    [
        ("ghcr.io", "me", "ghcr.io/me/echo-env"),
        ("ghcr.io/me/", None, "ghcr.io/me/echo-env"),
        ("me", None, "me/echo-env"),
        ("localhost:5000", None, "localhost:5000/echo-env"),
    ],
)
def test_an_image_is_called_after_registry_and_environment(
    registry: str, namespace: str | None, repository: str, tmp_path: Path
) -> None:
    (tmp_path / "openenv.yaml").write_text("name: echo_env\n")
    manifest: Manifest = read_manifest(tmp_path)
    assert repository_in(registry, namespace, manifest) == repository


def test_a_registry_has_a_host(tmp_path: Path) -> None:
    (tmp_path / "openenv.yaml").write_text("name: echo_env\n")
    with pytest.raises(ConfigurationError, match="no name of an image in a registry"):
        repository_in("", None, read_manifest(tmp_path))
