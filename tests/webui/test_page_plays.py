"""Episodes played by hand in a real browser."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser import Visitor, history, press, serving_page

Visit = Callable[..., Visitor]

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    with serving_page("envs/echo_env") as url:
        yield url


@pytest.fixture(scope="module")
def coding() -> Iterator[str]:
    with serving_page("envs/coding_env") as url:
        yield url


@pytest.fixture(scope="module")
def openspiel() -> Iterator[str]:
    with serving_page("envs/openspiel_env") as url:
        yield url


@pytest.fixture(scope="module")
def atari() -> Iterator[str]:
    with serving_page("envs/atari_env") as url:
        yield url


def view(page: Any) -> Any:
    return page.get_by_role("region", name="View")


def test_an_episode_of_echo(echo: str, visit: Visit, tmp_path: Path) -> None:
    page = visit(echo).page
    press(page, "Begin an episode")
    expect(page.get_by_text("Echo environment ready!").first).to_be_visible()
    for text in ("Hello", "päivää"):
        page.get_by_role("textbox", name="message").fill(text)
        press(page, "Step")
        expect(page.get_by_role("tabpanel", name="Observation")).to_contain_text(text)
    expect(view(page)).to_contain_text("Step 2")
    expect(view(page)).to_contain_text("Total 1.1")
    expect(history(page)).to_have_count(3)
    expect(history(page).first).to_contain_text("päivää")

    press(page, "State")
    expect(page.get_by_role("tabpanel", name="State")).to_contain_text("step_count2")
    with page.expect_download() as download:
        press(page, "Download JSONL")
    download.value.save_as(tmp_path / "episode.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "episode.jsonl").read_text().splitlines()]
    assert "päivää" in json.dumps(lines, ensure_ascii=False)

    press(page, "Reset")
    expect(view(page)).to_contain_text("Step 0")
    press(page, "Close")
    expect(page.get_by_role("button", name="Step", exact=True)).to_be_disabled()


def test_enter_sends_the_action(echo: str, visit: Visit) -> None:
    page = visit(echo).page
    press(page, "Begin an episode")
    message = page.get_by_role("textbox", name="message")
    message.fill("by Enter")
    message.press("Enter")
    expect(page.get_by_role("tabpanel", name="Observation")).to_contain_text("by Enter")


def test_bad_input_is_named_before_it_is_sent(coding: str, visit: Visit) -> None:
    page = visit(coding).page
    press(page, "Begin an episode")
    page.get_by_label("timeout", exact=True).fill("-1")
    page.get_by_label("code", exact=True).fill("1 + 1")
    press(page, "Step")
    invalid = page.get_by_label("timeout", exact=True)
    expect(invalid).to_have_attribute("aria-invalid", "true")
    expect(history(page)).to_have_count(1)
    invalid.fill("5")
    press(page, "Step")
    expect(history(page)).to_have_count(2)


def test_bad_input_that_only_the_server_sees_is_shown_and_can_be_mended(
    openspiel: str, visit: Visit
) -> None:
    page = visit(openspiel).page
    press(page, "Begin an episode")
    page.get_by_text("Action as a form").click()
    page.get_by_role("spinbutton", name="action_id").fill("17")
    press(page, "Step")
    expect(page.get_by_role("alert")).to_contain_text("17")
    press(page, "RIGHT")
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(history(page)).to_have_count(2)


def test_an_episode_of_coding(coding: str, visit: Visit) -> None:
    page = visit(coding).page
    press(page, "Begin an episode")
    code = page.get_by_label("code", exact=True)
    code.fill("numbers = [n * n for n in range(5)]\nprint(sum(numbers))")
    press(page, "Step")
    details = page.get_by_role("tabpanel", name="Observation")
    expect(details).to_contain_text("30")
    code.fill("numbers[-1] / 0")
    press(page, "Step")
    expect(details).to_contain_text("ZeroDivisionError")
    page.get_by_role("tab", name="Changes").click()
    expect(page.get_by_role("tabpanel", name="Changes")).to_contain_text("ZeroDivisionError")


def test_an_episode_of_a_board_game_to_its_end(openspiel: str, visit: Visit) -> None:
    page = visit(openspiel).page
    press(page, "Begin an episode")
    for _ in range(8):
        press(page, "STAY")
    expect(history(page)).to_have_count(9)
    page.keyboard.press("ArrowRight")
    expect(history(page)).to_have_count(10)
    expect(history(page).first).to_contain_text("done")
    # Each step back shows what was seen then.
    page.get_by_role("button", name="Show the reset").click()
    expect(view(page)).to_contain_text("Step 0")


def test_an_atari_game_with_the_keyboard(atari: str, visit: Visit) -> None:
    page = visit(atari).page
    press(page, "Begin an episode")
    page.get_by_label("Real time").uncheck()
    press(page, "Reset")
    expect(view(page)).to_contain_text("Step 0")
    screen = view(page).get_by_role("img")
    expect(screen).to_be_visible()
    before = screen.screenshot()
    for key in ("Space", "ArrowRight", "ArrowRight", "ArrowRight"):
        steps = history(page).count()
        page.keyboard.press(key)
        expect(history(page)).to_have_count(steps + 1)
    expect(view(page)).to_contain_text("Step 4")
    assert screen.screenshot() != before


def test_an_atari_game_goes_on_by_itself(atari: str, visit: Visit) -> None:
    page = visit(atari).page
    press(page, "Begin an episode")
    expect(page.get_by_label("Real time")).to_be_checked()
    expect(history(page).nth(15)).to_be_visible()


def test_the_readme_of_the_environment_is_there(echo: str, visit: Visit) -> None:
    page = visit(echo).page
    page.get_by_role("link", name="About").click()
    expect(page.get_by_role("main").get_by_role("heading").first).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("EchoAction")


def test_a_recording_is_opened_by_dropping_it(echo: str, visit: Visit, tmp_path: Path) -> None:
    page = visit(echo).page
    press(page, "Begin an episode")
    page.get_by_role("textbox", name="message").fill("recorded")
    press(page, "Step")
    with page.expect_download() as download:
        press(page, "Download JSONL")
    download.value.save_as(tmp_path / "episode.jsonl")
    other = visit(echo, "#recordings").page
    other.locator("input[type=file]").set_input_files(tmp_path / "episode.jsonl")
    expect(other.get_by_role("main")).to_contain_text("recorded")
