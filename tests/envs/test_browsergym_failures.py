"""The browsergym environment where things go wrong: crashes, kills, networks, what is missing."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from envs.browsergym_env import BrowserGymAction, BrowserGymEnv
from openenv.errors import ConfigurationError, EnvironmentFault, StepTimeout
from tests.browsergym_server import FOLDER, Served, serving_browsers
from tests.patience import patient, within
from tests.processes import openenv
from tests.web_pages import serving_site

# The first one may have to install BrowserGym.
pytestmark = pytest.mark.timeout(300)

END_S = 30


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving_browsers(BROWSERGYM_CALL_TIMEOUT_S="20") as one:
        yield one


def do(action: str) -> BrowserGymAction:
    return BrowserGymAction(action_str=action)


def programs(served: Served, part: str) -> list[int]:
    """Those of the server's processes whose command line has this in it."""
    found = []
    for pid in served.processes():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:
            continue
        if part in command:
            found.append(pid)
    return found


def profiles(folder: Path) -> list[Path]:
    return list(folder.rglob("playwright_chromiumdev_profile-*"))


def kill(pids: Iterable[int]) -> None:
    found = list(pids)
    assert found
    for pid in found:
        os.kill(pid, signal.SIGKILL)


async def until_gone(*pids: int) -> None:
    """Return when none of these runs, or is about to."""
    async with within(END_S):
        while any(is_running(pid) for pid in pids):
            await asyncio.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# ---- crashes


@pytest.mark.parametrize("part", ["--type=renderer", "--remote-debugging-pipe"])
async def test_a_crash_ends_its_episode_alone(served: Served, part: str) -> None:
    async with BrowserGymEnv(served.url) as env, BrowserGymEnv(served.url) as other:
        await other.reset(task_name="click-test-2")
        spared = set(served.processes())
        await env.reset()
        kill(pid for pid in programs(served, part) if pid not in spared)
        with pytest.raises(EnvironmentFault) as caught:
            await env.step(do("noop(100)"))
        assert caught.value.remote_type == "BrowserFailed"
        result = await env.reset(task_name="click-test")
        assert (await env.step(do(result.observation.clicks[0]))).reward == 1
        assert not (await other.step(do("noop(0)"))).observation.error


async def test_after_the_death_of_its_driver_a_session_goes_on(served: Served) -> None:
    async with BrowserGymEnv(served.url) as env:
        await env.reset()
        kill(programs(served, "run-driver"))
        with pytest.raises((EnvironmentFault, StepTimeout)):
            await env.step(do("noop(0)"), timeout_s=2)
        assert (await env.reset()).observation.goal == "Click the button."


async def test_a_page_that_hangs_is_given_up(served: Served) -> None:
    with serving_site() as site:
        async with BrowserGymEnv(served.url) as env:
            options = {"benchmark": "openended", "start_url": f"{site.url}/hang"}
            result = await env.reset(**options)
            with pytest.raises(StepTimeout):
                await env.step(do(result.observation.clicks[0]), timeout_s=2)
            assert (await env.reset()).observation.goal == "Click the button."


# ---- what is left


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A temporary folder whose path leaves room for that of a socket, unlike pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def browsers() -> list[str]:
    """The Chromiums that are installed here: one draws no windows, one would."""
    names = ("chromium-headless-shell", "chromium")
    return [name for name in names if shutil.which(name)] or ["chromium"]


@pytest.mark.parametrize("name", browsers())
async def test_every_chromium_starts_also_where_the_temporary_folder_has_a_long_path(
    name: str, tmp_path: Path
) -> None:
    long = tmp_path / ("long" * 20)
    long.mkdir()
    with serving_browsers(TMPDIR=str(long), BROWSERGYM_CHROMIUM=name) as served:
        async with BrowserGymEnv(served.url) as env:
            await env.reset()


async def test_closing_leaves_no_process_and_no_file(short_folder: Path) -> None:
    with serving_browsers(TMPDIR=str(short_folder)) as served:
        async with BrowserGymEnv(served.url) as env:
            await env.reset()
            pids = served.processes()
            assert profiles(short_folder)
        await until_gone(*pids)
        async with within(END_S):
            while os.listdir(short_folder):
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_server_that_is_ended_leaves_no_browser(
    short_folder: Path, number: signal.Signals
) -> None:
    with serving_browsers(TMPDIR=str(short_folder)) as served:
        async with httpx.AsyncClient(timeout=patient(END_S)) as client:
            (await client.post(f"{served.url}/reset", json={})).raise_for_status()
        pids = served.processes()
        assert profiles(short_folder)
        served.process.send_signal(number)
        await until_gone(*pids)
        assert not profiles(short_folder)


# ---- the network


async def test_a_page_reaches_no_other_host(served: Served) -> None:
    """127.0.0.2 is on loopback, too, and so within reach of everybody else."""
    with serving_site("127.0.0.2") as elsewhere:
        script = f"""<button onclick="go()">go</button><p id="said"></p><script>
            async function go() {{
                const said = [];
                const done = (name) => said.push(name);
                await fetch("{elsewhere.url}/fetched", {{mode: "no-cors"}}).catch(() => done("f"));
                await new Promise((end) => {{
                    const socket = new WebSocket("{elsewhere.url.replace("http", "ws")}/socket");
                    socket.onerror = () => {{ done("s"); end(); }};
                }});
                await new Promise((end) => {{
                    const image = new Image();
                    image.onerror = () => {{ done("i"); end(); }};
                    image.src = "{elsewhere.url}/image";
                }});
                document.getElementById("said").textContent = "refused " + said.join("");
            }}
            </script>"""
        pages = {"/": script, "/away": f"-> {elsewhere.url}/followed"}
        with serving_site(pages=pages) as site:
            async with BrowserGymEnv(served.url) as env:
                options: dict[str, Any] = {"benchmark": "openended", "start_url": site.url}
                seen = (await env.reset(**options, settle_s=1.0)).observation
                seen = (await env.step(do(seen.clicks[0]))).observation
                assert "refused fsi" in seen.text
                for there in (f"{elsewhere.url}/gone", f"{site.url}/away"):
                    seen = (await env.step(do(f"goto('{there}')"))).observation
                    assert "allowed_hosts" in seen.error
                with pytest.raises(EnvironmentFault, match="allowed_hosts"):
                    await env.reset(**{**options, "start_url": elsewhere.url})
        assert elsewhere.asked == []


async def test_hosts_that_are_allowed_are_reached() -> None:
    with serving_site("127.0.0.2") as site:
        host = site.url.removeprefix("http://")
        with serving_browsers(BROWSERGYM_ALLOWED_HOSTS=host) as served:
            async with BrowserGymEnv(served.url) as env:
                result = await env.reset(benchmark="openended", start_url=site.url)
                assert "A first page" in result.observation.text
                assert site.asked[0] == "/"


# ---- what is missing


def test_a_missing_extra_is_named() -> None:
    done = openenv("serve", str(FOLDER), "--port", "0")
    assert done.returncode != 0
    assert "pip install 'openenv[browsergym]'" in done.stderr


async def test_a_missing_browser_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bin"
    path.mkdir()
    for variables, said in (
        ({"PATH": str(path)}, "apt-get install chromium-headless-shell"),
        ({"BROWSERGYM_CHROMIUM": "/nowhere/chromium"}, "/nowhere/chromium"),
    ):
        with serving_browsers(**variables) as served:
            async with BrowserGymEnv(served.url) as env:
                with pytest.raises(ConfigurationError, match=said):
                    await env.reset()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BROWSERGYM_ALLOWED_HOSTS", "http://example.org"),
        ("BROWSERGYM_MAX_STEPS", "many"),
        ("BROWSERGYM_CALL_TIMEOUT_S", "soon"),
        ("BROWSERGYM_CALL_TIMEOUT_S", "nan"),
    ],
)
def test_a_variable_that_makes_no_sense_is_refused(variable: str, value: str) -> None:
    refused = pytest.raises(AssertionError, match=r"is no host|Expected|could not convert|above 0")
    with refused, serving_browsers(**{variable: value}):
        pass
