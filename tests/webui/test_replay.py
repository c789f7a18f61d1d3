"""The page over a recording."""

import json
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from openenv import recording
from openenv.cli.main import app
from openenv.errors import ConfigurationError, PayloadError
from openenv.recording import Episode, Recorder, Turn
from openenv.webui.replay import replay_app


def write(path: Path, episodes: int = 2) -> Path:
    with Recorder(path) as recorder:
        for number in range(episodes):
            turn = Turn({"at": number}, {"to": 1}, 1.0, done=True, truncated=False)
            recorder.write(Episode(1, number, f"e-{number}", [turn], 1.0, 1, "done"))
    return path


def client(file: Path) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(replay_app(file))
    return httpx.AsyncClient(transport=transport, base_url="http://here")


@pytest.mark.parametrize("name", ["mine.jsonl", "mine.jsonl.zst"])
async def test_the_page_gets_the_lines_whatever_they_are_compressed_with(
    tmp_path: Path, name: str
) -> None:
    file = write(tmp_path / name)
    async with client(file) as http:
        config = (await http.get("/web/config.json")).json()
        assert (config["name"], config["title"]) == (name, name)
        assert (config["replay"], config["watch"]) == ("/web/recording.jsonl", False)
        assert config["action_schema"] == {}
        lines = (await http.get(config["replay"])).text.splitlines()
    assert [json.loads(line)["episode_id"] for line in lines] == ["e-0", "e-1"]
    assert [one.episode_id for one in recording.read(file)] == ["e-0", "e-1"]


async def test_the_page_itself_is_there(tmp_path: Path) -> None:
    async with client(write(tmp_path / "mine.jsonl")) as http:
        page = await http.get("/", follow_redirects=True)
        assert (page.status_code, page.url.path) == (200, "/web/")
        missing = await http.get("/web/state")
        assert (missing.status_code, missing.json()["code"]) == (404, "PROTOCOL_ERROR")


async def test_what_was_recorded_meanwhile_is_shown_too(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.jsonl")
    async with client(file) as http:
        with file.open("ab") as more:
            more.write(file.read_bytes() + b'{"cut')
        assert len((await http.get("/web/recording.jsonl")).text.splitlines()) == 4


def test_what_is_no_recording_is_refused_at_once(tmp_path: Path) -> None:
    empty, other = tmp_path / "empty.jsonl", tmp_path / "other.jsonl"
    empty.write_text("")
    other.write_text('{"no": "episode"}\n')
    with pytest.raises(ConfigurationError, match="no episode"):
        replay_app(empty)
    with pytest.raises(PayloadError, match=r"other\.jsonl:1"):
        replay_app(other)


@pytest.mark.parametrize("name", ["missing.jsonl", "."])
def test_the_command_says_what_is_wrong_in_a_line(tmp_path: Path, name: str) -> None:
    run = CliRunner().invoke(app, ["replay", str(tmp_path / name)], prog_name="openenv")
    assert run.exit_code == 1
    assert len(run.stderr.splitlines()) == 1
    assert str(tmp_path) in run.stderr


def test_the_command_serves_the_page_and_opens_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def serve_once(_: object, host: str, port: int, **options: object) -> None:
        ready = options["ready"]
        assert callable(ready)
        ready(f"http://{host}:{port}")

    monkeypatch.setattr("openenv.cli.commands.replay.serve", serve_once)
    monkeypatch.setattr("webbrowser.open", opened.append)
    file = write(tmp_path / "mine.jsonl")
    run = CliRunner().invoke(app, ["replay", str(file), "--port", "80", "--open"])
    assert run.exit_code == 0
    assert run.stdout == f"{file} is shown at http://127.0.0.1:80/web\n"
    assert opened == ["http://127.0.0.1:80/web/"]
