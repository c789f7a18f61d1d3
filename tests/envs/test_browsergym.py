"""The browsergym environment: tasks, actions, observations and bad input, over a real server."""

import asyncio
import json
import os
import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers.installation import python_of
from envs.browsergym_env import BrowserGymAction, BrowserGymEnv, BrowserGymObservation
from envs.browsergym_env.policy import sample_policy
from openenv.errors import ConfigurationError, EnvironmentFault, PayloadError
from tests.browsergym_server import BROWSERGYM, Served, serving_browsers
from tests.patience import within
from tests.web_pages import serving_site

# The first one may have to install BrowserGym.
pytestmark = pytest.mark.timeout(300)

REFERENCE = Path(__file__).with_name("browsergym_reference.py")

# Of 130: all kinds of elements, and all that need more than clicks.
TASKS = [
    "book-flight",
    "choose-date",
    "choose-list",
    "circle-center",
    "click-checkboxes",
    "click-color",
    "click-dialog-2",
    "click-menu",
    "click-scroll-list",
    "click-shades",
    "click-tab-2",
    "count-shape",
    "drag-items",
    "email-inbox",
    "enter-text",
    "find-word",
    "grid-coordinate",
    "login-user",
    "tic-tac-toe",
    "use-slider",
]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving_browsers() as one:
        yield one


@pytest.fixture(scope="module")
def env(served: Served) -> Iterator[Any]:
    """One session for all tests that only look at its episodes."""
    with BrowserGymEnv(served.url).sync() as client:
        yield client


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with serving_site() as one:
        yield one.url


def do(action: str) -> BrowserGymAction:
    return BrowserGymAction(action_str=action)


def bid_of(observation: BrowserGymObservation, name: str) -> str:
    """The bid of what the accessibility tree calls so."""
    (line,) = [
        one for one in observation.axtree_txt.splitlines() if f"'{name}'" in one and "[" in one
    ]
    return line[line.index("[") + 1 : line.index("]")]


# ---- MiniWoB++


def test_a_task_is_solved_by_bid(env: Any) -> None:
    result = env.reset(seed=1, task_name="click-button")
    assert (result.reward, result.done) == (None, False)
    assert result.observation.goal.startswith("Click on the ")
    result = env.step(sample_policy(result.observation))
    assert (result.reward, result.done, result.truncated) == (1.0, True, False)
    state = env.state()
    assert (state.benchmark, state.task_name) == ("miniwob", "click-button")
    assert state.task_id == "browsergym/miniwob.click-button"
    assert (state.step_count, state.cum_reward, state.max_steps) == (1, 1.0, 30)
    with pytest.raises(EnvironmentFault) as caught:
        env.step(do("noop(0)"))
    assert caught.value.remote_type == "InvalidAction"


def test_a_task_is_solved_by_coordinates(env: Any) -> None:
    seen = env.reset(seed=1, task_name="click-test", coordinates=True).observation
    (line,) = [one for one in seen.axtree_txt.splitlines() if "button" in one]
    x, y = line[line.index('center="(') + 9 : line.index(')"')].split(",")
    result = env.step(do(f"mouse_click({x}, {y})"))
    assert (result.reward, result.done) == (1.0, True)


def test_a_wrong_answer_ends_the_task_without_a_reward(env: Any) -> None:
    seen = env.reset(seed=1, task_name="click-test-2").observation
    result = env.step(do(f"click({bid_of(seen, 'TWO')!r})"))
    assert (result.reward, result.done) == (0.0, True)


def test_text_is_filled_in_and_several_actions_are_done_in_a_row(env: Any) -> None:
    seen = env.reset(seed=3, task_name="enter-text").observation
    (word,) = seen.goal.split('"')[1::2]
    (field,) = [one for one in seen.clicks if one.split("'")[1] not in bid_of(seen, "Submit")]
    box, submit = field.split("'")[1], bid_of(seen, "Submit")
    result = env.step(do(f"I will do it:\nfill({box!r}, {word!r})\nclick({submit!r})"))
    assert (result.reward, result.done) == (1.0, True)


@pytest.mark.parametrize("task", TASKS)
def test_a_seed_shows_the_same_page_of_a_task(env: Any, task: str) -> None:
    first = env.reset(seed=5, task_name=task).observation
    assert first.goal
    assert first.axtree_txt.startswith("RootWebArea")
    assert env.reset(seed=5, task_name=task).observation == first


@pytest.mark.skipif(
    os.environ.get("OPENENV_TEST_MINIWOB") != "all",
    reason="opt-in: OPENENV_TEST_MINIWOB=all plays each of them, for minutes",
)
@pytest.mark.timeout(1200)
def test_every_task_of_miniwob_loads_and_takes_an_action(env: Any) -> None:
    code = "from envs.browsergym_env.server.tasks import task_names\nprint(*task_names('miniwob'))"
    names = subprocess.run(
        [python_of(BROWSERGYM), "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert len(names) == 130
    for name in names:
        seen = env.reset(seed=1, task_name=name).observation
        assert seen.goal, name
        assert seen.axtree_txt, name
        seen = env.step(do(next(iter(seen.clicks), "mouse_click(200, 200)"))).observation
        assert seen.error == "", name


def test_an_episode_is_that_of_browsergym_itself(env: Any, tmp_path: Path) -> None:
    task, actions = "click-button", ["hover('13')", "click('13')"]
    # Where Playwright looks for the browser that it would download.
    home = tmp_path / "chromium-1117" / "chrome-linux"
    home.mkdir(parents=True)
    (home / "chrome").symlink_to(shutil.which("chromium-headless-shell") or "")
    theirs = subprocess.run(
        [python_of(BROWSERGYM), REFERENCE, task, *actions],
        env=os.environ | {"PLAYWRIGHT_BROWSERS_PATH": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    results = [env.reset(seed=5, task_name=task), *(env.step(do(one)) for one in actions)]
    ours = [
        {
            "goal": one.observation.goal,
            "axtree_txt": one.observation.axtree_txt,
            "pruned_html": one.observation.pruned_html,
            "error": one.observation.last_action_error,
            "reward": one.reward,
            "done": one.done,
        }
        for one in results
    ]
    assert ours == json.loads(theirs)


def test_another_seed_shows_another_page(env: Any) -> None:
    goals = {env.reset(seed=seed, task_name="click-button").observation.goal for seed in range(4)}
    assert len(goals) > 1


def test_the_sample_policy_beats_random(env: Any) -> None:
    draw = random.Random(1)
    players = {"ours": sample_policy, "random": lambda seen: do(draw.choice(seen.clicks))}
    returns = dict.fromkeys(players, 0.0)
    for seed in range(4):
        for name, play in players.items():
            seen = env.reset(seed=seed, task_name="click-button").observation
            returns[name] += env.step(play(seen)).reward
    assert returns["ours"] == 4
    assert returns["random"] < 4


# ---- what is observed


def test_only_what_is_asked_for_is_observed(env: Any) -> None:
    seen = env.reset(observe=["axtree_txt"]).observation
    assert seen.text == seen.axtree_txt != ""
    assert (seen.pruned_html, seen.screenshot, seen.clicks) == ("", None, [])
    seen = env.reset(observe=["pruned_html"]).observation
    assert seen.text == seen.pruned_html
    assert '<button bid="' in seen.pruned_html
    seen = env.reset(observe=[]).observation
    assert (seen.text, seen.goal) == ("", "Click the button.")


def test_a_screenshot_is_a_png_file(env: Any) -> None:
    picture = env.reset(observe=["screenshot"]).observation.screenshot
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    # The task's 332 x 214, as BrowserGym enlarges it.
    assert struct.unpack(">II", picture[16:24]) == (498, 321)
    picture = env.reset(observe=["screenshot"], viewport=[400, 300]).observation.screenshot
    assert struct.unpack(">II", picture[16:24]) == (600, 450)


# ---- open-ended tasks


def test_an_open_ended_task_goes_through_a_site(env: Any, site: str) -> None:
    options = {"benchmark": "openended", "start_url": site, "goal": "Look around", "max_steps": 5}
    seen = env.reset(**options).observation
    assert (seen.goal, seen.url) == ("Look around", f"{site}/")
    seen = env.step(do(f"click({bid_of(seen, 'next page')!r})")).observation
    assert seen.url == f"{site}/next"
    assert "second" in seen.text
    seen = env.step(do("go_back()")).observation
    seen = env.step(do(f"click({bid_of(seen, 'new window')!r})")).observation
    assert seen.open_pages_urls == [f"{site}/", f"{site}/next"]
    assert seen.open_pages_urls[seen.active_page_index] == seen.url == f"{site}/next"
    seen = env.step(do("tab_focus(0)")).observation
    assert (seen.url, seen.active_page_index) == (f"{site}/", 0)
    result = env.step(do("tab_close()"))
    assert (result.observation.url, result.reward) == (f"{site}/next", 0.0)
    assert (result.done, result.truncated) == (False, True)
    assert env.state().current_url == f"{site}/next"


def test_giving_up_ends_the_task(env: Any, site: str) -> None:
    env.reset(benchmark="openended", start_url=site)
    result = env.step(do("send_msg_to_user('working on it')"))
    assert not result.done
    result = env.step(do("report_infeasible('there is nothing to do')"))
    assert (result.done, result.reward) == (True, 0.0)


def test_an_episode_finds_nothing_of_the_last_one(env: Any, site: str) -> None:
    options = {"benchmark": "openended", "start_url": f"{site}/visits"}
    assert "visit 1" in env.reset(**options).observation.text
    assert "visit 2" in env.step(do(f"goto('{site}/visits')")).observation.text
    assert "visit 1" in env.reset(**options).observation.text


# ---- bad input


@pytest.mark.parametrize(
    "action",
    [
        "foo",
        "click(",
        "click('99999')",
        "click()",
        "click('1', '2', '3', '4', '5', '6')",
        "delete_everything()",
        "upload_file('1', '/etc/passwd')",
        "goto('file:///etc/passwd')",
        "goto('chrome://version')",
        "goto(7)",
        "noop(1e9)",
        "mouse_click(1e999, 0)",
        "mouse_click('a', 'b')",
        "tab_focus(99)",
        "keyboard_press('Bogus')",
        "click('\0')",
        "__import__('os').system('true')",
        "send_msg_to_user(7)",
        "(" * 5000,
        "click(" + "[" * 2000,
    ],
    ids=lambda action: action[:20],
)
def test_an_action_that_cannot_be_done_is_told_and_the_episode_goes_on(
    env: Any, site: str, action: str
) -> None:
    if env.state().max_steps != 1000:
        env.reset(benchmark="openended", start_url=site, max_steps=1000)
    result = env.step(do(action))
    assert result.observation.last_action_error
    assert result.observation.error
    assert not result.done
    result = env.step(do("noop(0)"))
    assert (result.observation.last_action_error, result.observation.error) == (False, "")


def test_actions_that_were_not_asked_for_are_not_there(env: Any, site: str) -> None:
    env.reset(benchmark="openended", start_url=site, actions=["bid"])
    seen = env.step(do("goto('about:blank')")).observation
    assert "there is no action 'goto'; there is noop, scroll, fill" in seen.error
    assert "upload_file" not in seen.error


@pytest.mark.parametrize("action", ["", "x" * 20_001])
def test_what_is_no_action_is_refused(env: Any, action: str) -> None:
    env.reset()
    with pytest.raises(PayloadError):
        env.step(do(action))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"task_name": "click-tst"}, "click-test"),
        ({"task_name": "../click-test"}, "click-test"),
        ({"benchmark": "miniwop"}, "miniwob"),
        ({"benchmark": "core"}, "miniwob, openended"),
        ({"benchmark": "openended"}, "start_url"),
        ({"benchmark": "openended", "start_url": "file:///etc/passwd"}, "http"),
        ({"start_url": "http://127.0.0.1"}, "openended"),
        ({"observe": ["dom"]}, "observe"),
        ({"actions": []}, "actions"),
        ({"max_steps": 0}, "max_steps"),
        ({"settle_s": float("nan")}, "settle_s"),
        ({"viewport": [1, 1]}, "viewport"),
        ({"headless": False}, "headless"),
    ],
)
def test_what_cannot_be_played_is_refused(env: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        env.reset(**options)
    assert env.reset(task_name="click-test").observation.goal == "Click the button."


# ---- sessions


async def test_sessions_have_browsers_of_their_own(served: Served, site: str) -> None:
    async with BrowserGymEnv(served.url) as one, BrowserGymEnv(served.url) as other:
        options = {"benchmark": "openended", "start_url": f"{site}/visits"}
        results = await asyncio.gather(one.reset(**options), other.reset(**options))
        assert all("visit 1" in result.observation.text for result in results)
        before = served.processes()
    async with within(20):
        while len(served.processes()) >= len(before):
            await asyncio.sleep(0.05)
