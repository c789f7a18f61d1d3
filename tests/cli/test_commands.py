"""Commands do what they say; what is wrong takes a line or two of stderr, and never a traceback."""

import asyncio
import json
import logging
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

import openenv as package
from openenv.cli.commands import demo
from openenv.cli.main import main
from openenv.errors import StartupTimeout
from openenv.recording import read
from tests.patience import within
from tests.processes import ENVIRON, OPENENV, openenv, serving_process
from tests.serving import serving

ROOT = Path(__file__).parents[2]

Here = Callable[..., tuple[int, str, str]]

POLICIES = """
import asyncio, os, signal

def add_two(observation):
    return {"amount": 2}

async def add_three(observation):
    return {"amount": 3}

def add_many(observations):
    return [{"amount": 4} for _ in observations]

def fail(observation):
    raise ValueError("no idea")

class Typed:
    def __call__(self, observation):
        from envs.echo_env import EchoAction
        return EchoAction(message=observation.echoed_message[:4])

typed = Typed()
turns = 0

def interrupt(observation):
    global turns
    turns += 1
    if turns == 200:
        os.kill(os.getpid(), signal.SIGINT)
    return {"amount": 1}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policies.py").write_text(POLICIES)
    return tmp_path


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Here]:
    """Run a command in this process, which is faster: (exit code, stdout, stderr)."""
    loggers = [logging.getLogger(name) for name in ("openenv", "openenv.server", "uvicorn")]
    levels, path = [logger.level for logger in loggers], list(sys.path)

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["openenv", *arguments])
        monkeypatch.chdir(ROOT)
        for name in ("OPENENV_EXECUTION", "OPENENV_WORKERS"):
            monkeypatch.setenv(name, "")  # so that it is restored
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), *capsys.readouterr()

    yield command
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    sys.path[:] = path


def cells(table: str) -> dict[str, str]:
    rows = [line.strip("│ ").split("│") for line in table.splitlines() if line.startswith("│")]
    return {name.strip(): value.strip() for name, value in rows}


def test_without_arguments_it_shows_its_help(here: Here) -> None:
    code, out, _ = here()
    assert code == 0
    for command in ("serve", "collect", "demo"):
        assert command in out


def test_the_version_is_the_distribution_s() -> None:
    assert openenv("--version").stdout == f"openenv {package.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("fly",),
        ("collect",),
        ("serve", "envs/echo_env", "--port", "many"),
        ("serve", "envs/echo_env", "--port", "70000"),
        ("serve", "envs/echo_env", "--execution", "nowhere"),
        ("serve", "envs/echo_env", "--workers", "0"),
        ("collect", "envs/echo_env", "--episodes", "0"),
        ("collect", "envs/echo_env", "--unknown"),
    ],
)
def test_a_wrong_command_line_is_code_2(here: Here, arguments: tuple[str, ...]) -> None:
    code, out, err = here(*arguments)
    assert (code, out) == (2, "")
    assert "Usage: openenv" in err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("serve", "envs/no_env"), "'envs/no_env' is no folder here"),
        (("serve",), ". is no environment: it holds no openenv.yaml"),
        (("serve", "docs"), "docs is no environment: it holds no openenv.yaml"),
        (("serve", "openenv.models:State"), "is the class State: neither an ASGI app nor"),
        (("serve", "tests.environments:Countr"), "it has: Counter"),
        (("serve", "envs/echo_env", "--log-level", "loud"), "log_level is 'loud'"),
        (("serve", "envs/echo_env", "--host", "no.such.invalid"), "cannot listen on no.such"),
        (
            ("serve", "tests.environments:AsyncCounter", "--execution", "thread"),
            "--execution has no effect: tests.environments:AsyncCounter itself says await",
        ),
        (("serve", "tests.environments:AsyncCounter", "--workers", "2"), "has async methods"),
        (
            ("serve", "tests.environments:Counter", "--workers", "2", "--execution", "thread"),
            "workers is 2, but the execution of Counter is 'thread'",
        ),
        (("collect", "127.0.0.1:9"), "no openenv server answers at 127.0.0.1:9"),
        (("collect", "http://127.0.0.1:9", "--policy", "json:dumps"), "no openenv server answers"),
        (("collect", "ftp://127.0.0.1"), "is not the URL of a server"),
        (("collect", "envs/echo_env", "--policy", "json"), "not of the form module:attribute"),
        (("collect", "envs/echo_env", "--policy", "json:sing"), "json has no 'sing'"),
        (("collect", "envs/echo_env", "--out", "no/folder/x"), "cannot write no/folder/x.part"),
        (("collect", "json:dumps"), "json:dumps is no app of openenv's"),
        (("demo", "--out", "/dev/null/x/y"), "/dev/null"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    here: Here, arguments: tuple[str, ...], complaint: str
) -> None:
    code, out, err = here(*arguments)
    assert (code, out) == (1, "")
    assert complaint in err
    assert err.startswith("openenv: ")
    assert len(err.splitlines()) <= 2


def test_debug_shows_the_traceback() -> None:
    run = openenv("serve", "envs/no_env", "--debug")
    assert run.returncode == 1
    assert "Traceback" in run.stderr
    assert run.stderr.splitlines()[-1].startswith("openenv.errors.ConfigurationError")


def test_an_unexpected_error_is_a_line_too(folder: Path) -> None:
    (folder / "broken.py").write_text("def make():\n    raise KeyError('lost')\n")
    run = openenv("serve", "broken:make", cwd=folder)
    assert run.returncode == 1
    assert run.stderr == "openenv: KeyError: 'lost'\n(--debug shows where)\n"


def test_a_missing_extra_is_named() -> None:
    code = "import sys; sys.modules['typer'] = None; import openenv.cli.main"
    run = openenv_python(code)
    assert run == (1, "openenv: the command line needs typer: pip install 'openenv[cli]'\n")


def test_a_command_imports_only_what_it_needs() -> None:
    code = (
        "import atexit, sys\n"
        "heavy = {'docker', 'huggingface_hub', 'jsonschema', 'starlette', 'uvicorn'}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules)), file=sys.stderr))\n"
        "sys.argv = ['openenv', 'init', '--help']\n"
        "from openenv.cli.main import main; main()"
    )
    assert openenv_python(code) == (0, "[]\n")


def openenv_python(code: str) -> tuple[int, str]:
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    return run.returncode, run.stderr


# ---- serve


async def test_settings_reach_an_app_that_is_made_at_import() -> None:
    settings = ("--max-sessions", "3", "--execution", "thread", "--port", "0")
    async with (
        serving_process("envs/echo_env", *settings, cwd=ROOT) as (process, url),
        package.GenericEnvClient(url) as env,
    ):
        await env.reset()
        run = await asyncio.to_thread(openenv_python, HEALTH.format(url=url))
        assert json.loads(run[1])["max_sessions"] == 3
        await env.close()
        process.send_signal(signal.SIGINT)
        async with within(20):
            assert await process.wait() == 0


HEALTH = """
import sys, urllib.request
sys.stderr.write(urllib.request.urlopen("{url}/health").read().decode())
"""


async def test_serve_says_what_it_serves_and_where() -> None:
    command = (*OPENENV, "serve", "tests.environments:Counter", "--port", "0")
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=PIPE, stderr=PIPE)
    assert process.stdout is not None
    line = await process.stdout.readline()
    process.terminate()
    rest, log = await process.communicate()
    assert line.startswith(b"serving Counter (16,384 sessions, inline) on http://127.0.0.1:")
    assert (rest, log) == (b"", b"")


async def test_serve_says_where_the_page_is_if_it_is_asked_for() -> None:
    command = (*OPENENV, "serve", "tests.environments:Counter", "--web", "--port", "0")
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=PIPE, stderr=PIPE)
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode().strip()
    url, _, page = line.partition(" on ")[2].partition(" with the page at ")
    assert page == f"{url}/web"
    async with httpx.AsyncClient() as http:
        found = await http.get(page, follow_redirects=True)
    process.terminate()
    _, log = await process.communicate()
    assert ("<title>" in found.text, log) == (True, b"")


def test_a_page_that_an_app_does_not_serve_is_refused(folder: Path) -> None:
    (folder / "bare.py").write_text(
        "from openenv.app import create_app\n"
        "from envs.echo_env.server.environment import EchoEnvironment\n"
        "app = create_app(EchoEnvironment, web=False)\n"
    )
    run = openenv("serve", "bare:app", "--web", cwd=folder)
    assert run.returncode == 1
    assert run.stderr == "openenv: --web has no effect: bare:app itself says False\n"


async def test_what_is_changed_is_served_anew(folder: Path) -> None:
    code = "from tests.environments import Counter\n\n\nclass {}(Counter): ...\n"
    (folder / "mine.py").write_text(code.format("First"))
    (folder / "openenv.yaml").write_text("app: mine:First\n")
    command = (*OPENENV, "serve", "--reload", "--port", "0")
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=ENVIRON, stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    async with within(40):
        assert (await process.stdout.readline()).startswith(b"serving First ")
        (folder / "notes.txt").write_text("No code, so nothing happens.")
        (folder / "mine.py").write_text(code.format("Second"))
        (folder / "openenv.yaml").write_text("app: mine:Second\n")
        assert b" changed: " in await process.stderr.readline()
        assert (await process.stdout.readline()).startswith(b"serving Second ")
        process.send_signal(signal.SIGTERM)
        out, _ = await process.communicate()
    assert (process.returncode, out) == (0, b"")


async def test_a_killed_watcher_of_code_takes_its_server_along(folder: Path) -> None:
    (folder / "mine.py").write_text("from tests.environments import Counter\n")
    command = (*OPENENV, "serve", "mine:Counter", "--reload", "--port", "0")
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=ENVIRON, stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    async with within(40):
        assert (await process.stdout.readline()).startswith(b"serving Counter ")
        process.kill()
        # The server holds the other end of this pipe.
        assert await process.stdout.read() == b""
        await process.wait()


def test_a_setting_that_an_app_overrides_is_refused(folder: Path) -> None:
    (folder / "fixed.py").write_text(
        "from openenv.app import create_app\n"
        "from envs.echo_env.server.environment import EchoEnvironment\n"
        "app = create_app(EchoEnvironment, max_concurrent_envs=2)\n"
    )
    run = openenv("serve", "fixed:app", "--max-sessions", "3", cwd=folder)
    assert run.returncode == 1
    assert run.stderr == "openenv: --max-sessions has no effect: fixed:app itself says 2\n"


# ---- collect


@pytest.mark.parametrize(
    ("policy", "mean"),
    [
        (("policies:add_two",), "20.000"),
        (("policies:add_three",), "30.000"),
        (("policies:add_many", "--batched"), "40.000"),
    ],
)
def test_episodes_are_played_with_a_policy_of_the_user(
    folder: Path, policy: tuple[str, ...], mean: str
) -> None:
    run = openenv(
        *("collect", "tests.environments:Counter", "--episodes", "20", "--max-turns", "10"),
        *("--policy", *policy, "--out", "played.jsonl", "--seed", "1"),
        cwd=folder,
    )
    assert run.stderr == ""
    table = cells(run.stdout)
    assert (table["episodes"], table["steps"], table["failed"]) == ("20", "200", "0")
    assert table["mean return"] == mean
    assert run.stdout.endswith("written to played.jsonl\n")
    assert len(list(read(folder / "played.jsonl"))) == 20


async def test_actions_are_drawn_from_a_server_s_schema(folder: Path) -> None:
    async with serving_process("envs/echo_env", "--port", "0", cwd=ROOT) as (_, url):
        arguments = ("collect", url, "--episodes", "5", "--max-turns", "4", "--out", "x.jsonl")
        run = await asyncio.to_thread(openenv, *arguments, cwd=folder)
    assert run.stderr == ""
    assert cells(run.stdout)["steps"] == "20"
    messages = {turn.action["message"] for one in read(folder / "x.jsonl") for turn in one.turns}
    assert len(messages) > 5


def test_a_client_class_types_what_the_policy_sees(folder: Path) -> None:
    run = openenv(
        *("collect", str(ROOT / "envs/echo_env"), "--episodes", "2", "--max-turns", "1"),
        *("--policy", "policies:typed", "--client", "envs.echo_env:EchoEnv", "--out", "x.jsonl"),
        cwd=folder,
    )
    assert run.stderr == ""
    assert {one.turns[0].action["message"] for one in read(folder / "x.jsonl")} == {"Echo"}


def test_when_every_episode_fails_the_command_fails(folder: Path) -> None:
    run = openenv(
        *("collect", "tests.environments:Counter", "--episodes", "3"),
        *("--policy", "policies:fail"),
        cwd=folder,
    )
    assert run.returncode == 1
    assert cells(run.stdout)["POLICY_FAILED"] == "3"
    first, last = run.stderr.splitlines()
    assert first.startswith("openenv: episode 0 failed (POLICY_FAILED, ValueError): no idea")
    assert last == "openenv: every episode failed"


def test_a_recording_is_not_overwritten_unasked(folder: Path) -> None:
    arguments = ("collect", "tests.environments:Counter", "--episodes", "2", "--max-turns", "1")
    out = ("--out", "x.jsonl")
    assert openenv(*arguments, *out, cwd=folder).returncode == 0
    again = openenv(*arguments, *out, cwd=folder)
    assert (again.returncode, again.stdout) == (1, "")
    assert "x.jsonl exists" in again.stderr
    assert openenv(*arguments, *out, "--overwrite", cwd=folder).returncode == 0


def test_ctrl_c_keeps_what_has_ended(folder: Path) -> None:
    run = openenv(
        *("collect", "tests.environments:Counter", "--episodes", "1000", "--max-turns", "5"),
        *("--policy", "policies:interrupt", "--concurrency", "4", "--out", "x.jsonl"),
        cwd=folder,
    )
    assert run.returncode == 130
    kept = len(list(read(folder / "x.jsonl.part")))
    assert 0 < kept < 1000
    assert run.stderr.splitlines() == [
        "openenv: stopped",
        f"Episodes that ended before: {kept}, in x.jsonl.part; resume the run to go on with them",
    ]


# ---- demo


def test_the_demo_collects_from_a_server_of_its_own(tmp_path: Path) -> None:
    for _ in range(2):
        run = openenv("demo", "--episodes", "50", cwd=tmp_path)
        assert (run.returncode, run.stderr) == (0, "")
    table = cells(run.stdout)
    assert (table["episodes"], table["steps"], table["failed"]) == ("50", "500", "0")
    assert set(table) >= {"seconds", "episodes/s", "steps/s", "mean return"}
    assert len(list(read(tmp_path / "openenv-demo/episodes.jsonl"))) == 50


def test_the_demo_says_where_it_can_run(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['envs'] = sys.modules['echo_env'] = None\n"
        "sys.argv = ['openenv', 'demo']\n"
        "from openenv.cli.main import main; main()"
    )
    code_and_log = openenv_python(code)
    assert code_and_log[0] == 1
    assert "run it in a checkout" in code_and_log[1]


async def test_ctrl_c_ends_the_demo_and_its_server(tmp_path: Path) -> None:
    arguments = ("demo", "--episodes", "1000000")
    process = await asyncio.create_subprocess_exec(
        *OPENENV, *arguments, cwd=tmp_path, stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    async with within(40):
        url = (await process.stdout.readline()).decode().split()[0]
        process.send_signal(signal.SIGINT)
        _, log = await process.communicate()
    assert process.returncode == 130
    assert log.decode().startswith("openenv: stopped")
    with pytest.raises(package.ConnectError):
        await package.GenericEnvClient(url).connect()


async def test_a_server_of_the_demo_that_does_not_start_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StartupTimeout, match="what it said is above"):
        async with demo._serving("no/such/folder"):
            pass
    monkeypatch.setattr(demo, "STARTUP_TIMEOUT_S", 0.001)
    with pytest.raises(StartupTimeout, match="did not start within"):
        async with demo._serving(str(ROOT / "envs/echo_env")):
            pass


# ---- what servers say of actions


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (Response("gone", 404), "answers 404, so actions cannot be drawn: give a --policy"),
        (Response("{"), "holds no schema of actions"),
        (Response("[]"), "holds no schema of actions"),
        (Response('{"observation": {}}'), "holds no schema of actions"),
    ],
)
async def test_a_server_without_a_schema_needs_a_policy(body: Response, complaint: str) -> None:
    async with serving(Starlette(routes=[Route("/schema", lambda _: body)])) as url:
        run = await asyncio.to_thread(openenv, "collect", url)
    assert (run.returncode, run.stdout) == (1, "")
    assert complaint in run.stderr
