"""Takes the pictures of the page that the documentation shows: `make screenshots`."""

import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import expect

from tests.browser import Visitor, launched, press, serving_page
from tests.processes import ENVIRON, OPENENV, ROOT

IMAGES = ROOT / "docs/images"
WIDE = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
SESSIONS = 16

Open = Callable[..., Any]


def keep(page: Any, name: str) -> None:
    """Take the picture of what is on the screen."""
    # Buttons look different under the mouse and while they have the focus.
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    page.screenshot(path=IMAGES / f"{name}.png", animations="disabled")
    print(f"docs/images/{name}.png")  # noqa: T201 - what the command says


def begin_game(page: Any, steps: list[str]) -> None:
    """Play so many steps of a game, which waits for them."""
    press(page, "Begin an episode")
    real_time = page.get_by_label("Real time")
    if real_time.is_checked():
        real_time.uncheck()
    press(page, "Reset")
    for step, name in enumerate(steps, 1):
        press(page, name)
        expect(page.get_by_role("region", name="View")).to_contain_text(f"Step {step}")


def play_atari(open_page: Open, url: str) -> None:
    game = ["FIRE", *["RIGHT", "LEFT", "RIGHT"] * 12]
    page = open_page(url)
    begin_game(page, game)
    keep(page, "atari")
    page = open_page(url, color_scheme="dark", viewport=PHONE, device_scale_factor=2)
    begin_game(page, game[:9])
    keep(page, "phone")


def watch_atari(open_page: Open, url: str) -> None:
    """Look on while `openenv collect` plays."""
    with TemporaryDirectory() as folder:
        command = [*OPENENV, "collect", url, "--concurrency", str(SESSIONS), "--max-turns", "5000"]
        command += ["--seed", "1", "--no-progress", "--out", f"{folder}/pong.jsonl"]
        collecting = subprocess.Popen(command, cwd=ROOT, env=ENVIRON, stdout=subprocess.DEVNULL)
        try:
            page = open_page(url, "#watch")
            tiles = page.get_by_role("main").get_by_role("listitem")
            expect(tiles).to_have_count(SESSIONS, timeout=30_000)
            # By then each of them looks different, and the rewards of one have a plot.
            late = re.compile(r"step (\d{3}|[3-9]\d)")
            expect(tiles.filter(has_text=late)).to_have_count(SESSIONS, timeout=60_000)
            keep(page, "watch")
            tiles.first.get_by_role("button").click()
            expect(page.get_by_role("region", name="View")).to_contain_text(
                re.compile(r"Step \d{3}"), timeout=60_000
            )
            keep(page, "follow")
        finally:
            collecting.kill()
            collecting.wait()


def play_coding(open_page: Open, url: str) -> None:
    page = open_page(url)
    press(page, "Begin an episode")
    code = page.get_by_role("textbox", name="code")
    for text in (
        "primes = [n for n in range(2, 60) if all(n % d for d in range(2, n))]",
        "print(len(primes), 'primes:')\nprint(*primes)",
    ):
        code.fill(text)
        press(page, "Step")
    expect(page.get_by_role("tabpanel", name="Observation")).to_contain_text("17 primes")
    keep(page, "coding")


def play_openspiel(open_page: Open, url: str) -> None:
    page = open_page(url, color_scheme="dark")
    begin_game(page, ["RIGHT", "STAY", "LEFT", "LEFT"])
    keep(page, "openspiel")


def play_finrl(open_page: Open, url: str) -> None:
    page = open_page(url)
    press(page, "Begin an episode")
    for stock in (1, 4, 7):
        page.get_by_role("spinbutton", name=f"actions {stock}", exact=True).fill("1")
    for step in range(1, 31):
        press(page, "Step")
        expect(page.get_by_role("region", name="View")).to_contain_text(f"Step {step}")
    keep(page, "finrl")


VIEWS: dict[str, list[Callable[[Open, str], None]]] = {
    # First, while nobody else plays.
    "atari": [watch_atari, play_atari],
    "coding": [play_coding],
    "openspiel": [play_openspiel],
    "finrl": [play_finrl],
}


def main(names: list[str]) -> None:
    """Take the pictures of these environments, or of all."""
    IMAGES.mkdir(exist_ok=True)
    with launched() as browser:
        for name in names or VIEWS:
            with serving_page(f"envs/{name}_env") as url, ExitStack() as visitors:

                def open_page(url: str, part: str = "", **context: Any) -> Any:
                    visitor = Visitor(browser, url, **{"viewport": WIDE} | context)
                    visitors.callback(visitor.leave)
                    visitor.page.goto(f"{url}/web/{part}")
                    return visitor.page

                for take in VIEWS[name]:
                    take(open_page, url)


if __name__ == "__main__":
    main([Path(name).name for name in sys.argv[1:]])
