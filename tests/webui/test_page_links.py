"""The page and the network: own sessions, reloads, lost sockets, restarts, and who looks on."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser import Visitor, cuttable, history, press, serving_page

Visit = Callable[..., Visitor]

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    with serving_page("envs/echo_env") as url:
        yield url


def begin(page: Any) -> None:
    page.get_by_role("button", name="Begin an episode").click()
    expect(page.get_by_role("button", name="Step", exact=True)).to_be_enabled()


def say(page: Any, text: str) -> None:
    page.get_by_role("textbox", name="message").fill(text)
    press(page, "Step")
    expect(page.get_by_role("tabpanel", name="Observation")).to_contain_text(text)


def connection(page: Any) -> Any:
    return page.get_by_role("banner").get_by_role("status")


def test_each_visitor_has_a_session_of_its_own(echo: str, visit: Visit) -> None:
    one, other = visit(echo).page, visit(echo).page
    for page in (one, other):
        begin(page)
    say(one, "only here")
    expect(history(one)).to_have_count(2)
    expect(history(other)).to_have_count(1)


def test_a_visitor_takes_a_slot_until_the_grace_after_its_tab_is_closed(
    visit: Visit, scripted: Callable[[str], Any]
) -> None:
    brief = {"OPENENV_GRACE_S": "0.3"}
    with serving_page("envs/echo_env", "--max-sessions", "1", environ=brief) as url:
        visitor = visit(url)
        begin(visitor.page)
        other = scripted(url)
        refused = other.evaluate(
            """async (url) => {
                window.link = await openenv.connect(url);
                return link.open().catch(({ code }) => code);
            }""",
            url,
        )
        assert refused == "CAPACITY_REACHED"
        visitor.page.close()
        other.evaluate("link.open({ wait: 20 }).then(() => link.close())")


def test_a_reload_keeps_the_episode(echo: str, visit: Visit) -> None:
    page = visit(echo).page
    begin(page)
    say(page, "before")
    page.reload()
    expect(history(page)).to_have_count(2)
    say(page, "after")
    expect(page.get_by_role("region", name="View")).to_contain_text("Step 2")
    press(page, "State")
    expect(page.get_by_role("tabpanel", name="State")).to_contain_text("step_count2")


def test_a_lost_socket_is_replaced_and_the_episode_goes_on(echo: str, visit: Visit) -> None:
    with cuttable(echo) as way:
        visitor = visit(way.url)
        page = visitor.page
        begin(page)
        say(page, "before")
        way.block()
        expect(connection(page)).to_have_text("Reconnecting")
        way.unblock()
        expect(connection(page)).to_have_text("Connected")
        say(page, "after")
        press(page, "State")
        expect(page.get_by_role("tabpanel", name="State")).to_contain_text("step_count2")
        visitor.expect("WebSocket connection to")


def test_a_restart_of_the_server_is_said_and_a_new_episode_is_one_click_away(visit: Visit) -> None:
    with serving_page("envs/echo_env") as url:
        visitor = visit(url)
        begin(visitor.page)
        say(visitor.page, "before")
        port = int(url.rpartition(":")[2])
    page = visitor.page
    expect(connection(page)).to_have_text("Reconnecting")
    with serving_page("envs/echo_env", port=port):
        expect(connection(page)).to_have_text("Episode lost")
        page.get_by_role("button", name="Begin anew").first.click()
        say(page, "after")
        expect(connection(page)).to_have_text("Connected")
        visitor.expect("WebSocket connection to")
        visitor.expect("ERR_CONNECTION_REFUSED")


def test_another_clients_steps_are_seen_live(echo: str, visit: Visit) -> None:
    player, spectator = visit(echo).page, visit(echo, "#watch").page
    begin(player)
    say(player, "look at me")
    tile = spectator.get_by_role("button", name=re.compile("step 1"))
    expect(tile.filter(has_text="look at me")).to_be_visible()
    tile.filter(has_text="look at me").click()
    say(player, "and now")
    expect(spectator.get_by_role("main")).to_contain_text("and now")


def test_a_wall_is_one_click_away_after_the_server_was(visit: Visit) -> None:
    with serving_page("envs/echo_env", environ={"OPENENV_GRACE_S": "0.5"}) as url:
        visitor = visit(url, "#watch")
        page = visitor.page
        expect(page.get_by_role("heading", name="0 live sessions")).to_be_visible()
        port = int(url.rpartition(":")[2])
    again = page.get_by_role("button", name="Try again")
    expect(connection(page)).to_have_text("No connection")  # and no episode was lost
    again.click()
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
    with serving_page("envs/echo_env", port=port):
        again.click()
        expect(page.get_by_role("alert")).to_have_count(0)
        player = visit(url).page
        begin(player)
        expect(page.get_by_role("heading", name="1 live session")).to_be_visible()
        player.close()
    visitor.expect("WebSocket connection to")
    visitor.expect("ERR_CONNECTION_REFUSED")


def test_a_wall_shows_sixteen_sessions(
    echo: str, visit: Visit, scripted: Callable[[str], Any]
) -> None:
    players = scripted(echo)
    players.evaluate(
        """async (url) => {
            window.link = await openenv.connect(url);
            const open = async (index) => {
                const session = await link.open({ label: `wall/${index}` });
                await session.reset();
                await session.step({ message: `session ${index}` });
                return session;
            };
            window.sessions = await Promise.all([...Array(16).keys()].map(open));
        }""",
        echo,
    )
    page = visit(echo, "#watch").page
    page.get_by_label("Filter the sessions").fill("wall/")
    tiles = page.get_by_role("button", name=re.compile("wall."))
    expect(tiles).to_have_count(16)
    players.evaluate("sessions[7].step({ message: 'news from seven' })")
    expect(tiles.filter(has_text="wall/7")).to_contain_text("step 2")
    page.get_by_role("button", name="As a list").click()
    expect(page.get_by_role("row").filter(has_text="wall/")).to_have_count(16)
    players.evaluate("sessions[3].close()")
    expect(page.get_by_role("row").filter(has_text="wall/")).to_have_count(15)
    players.evaluate("link.close()")
    expect(page.get_by_role("row").filter(has_text="wall/")).to_have_count(0)


def test_openenv_js_plays_in_a_browser(echo: str, scripted: Callable[[str], Any]) -> None:
    result = scripted(echo).evaluate(
        """async (url) => {
            const link = await openenv.connect(url);
            const session = await link.open();
            await session.reset();
            const { observation } = await session.step({ message: "from a page" });
            await link.close();
            return [link.encoding, observation];
        }""",
        echo,
    )
    assert result == ["msgpack", {"echoed_message": "from a page", "message_length": 11}]
