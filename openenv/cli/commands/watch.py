"""`openenv watch`: the sessions of a server, live in a table, or as lines of JSON."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack, aclosing, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from openenv.cli.running import Debug, log_to_stderr, reporting, run
from openenv.client.watch import Summary, WatchEvent, watch
from openenv.protocol.wire import JSON

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

TABLE_FRAMES_PER_S = 4.0
"A table that changes more often cannot be read."

ONCE_S = 0.3

_COLUMNS = ("label", "episode", "", "step", "reward", "total", "steps/s", "age")
_LEFT = 3
"How many of them are text."


def watch_sessions(
    url: Annotated[str, typer.Argument(help="A server's URL.", metavar="URL")],
    label: Annotated[
        str | None,
        typer.Option(help="Only sessions of this label, or of one below it: collect/train."),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print each change as a line of JSON, with action and observation."
        ),
    ] = False,
    once: Annotated[
        bool, typer.Option("--once", help="Show what there is, and end. Default: off a terminal.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Watch the sessions of a server that allows it, until Ctrl-C."""
    log_to_stderr(debug)
    with reporting(debug):
        if as_json:
            run(_print_changes(url, label, once))
        else:
            run(_draw(url, label, once or not sys.stdout.isatty()))


async def _print_changes(url: str, label: str | None, once: bool) -> None:
    # A reader that has left ends this loop in its body: the link must be closed by then, because an
    # event loop that ends closes all generators at once, those of the closing link included.
    async with aclosing(_events(url, once, label=label)) as events:  # type: ignore[type-var]
        async for event in events:
            lines: list[Any] = [*event.sessions, *({"ended": name} for name in event.ended)]
            for line in lines:
                typer.echo(JSON.encode(line))


async def _draw(url: str, label: str | None, once: bool) -> None:
    sessions: dict[str, Summary] = {}
    console = Console()
    with ExitStack() as stack:
        live: Live | None = None
        options = {"observations": False, "frames_per_s": TABLE_FRAMES_PER_S}
        async with aclosing(_events(url, once, label=label, **options)) as events:  # type: ignore[type-var]
            async for event in events:
                sessions |= {summary.session: summary for summary in event.sessions}
                for name in event.ended:
                    sessions.pop(name, None)
                if once:
                    continue
                if live is None:
                    # Drawn with each event, and by nobody else.
                    screen = Live(console=console, auto_refresh=False, screen=True)
                    live = stack.enter_context(screen)
                live.update(_table(sessions.values()), refresh=True)
    if once:
        console.print(_table(sessions.values()))


async def _events(url: str, once: bool, **options: Any) -> AsyncIterator[WatchEvent]:
    """Yield events; with `once` those of a moment, as many sessions come in several."""
    loop = asyncio.get_running_loop()
    with suppress(TimeoutError):
        async with aclosing(watch(url, **options)) as events, asyncio.timeout(None) as limit:  # type: ignore[type-var]
            async for event in events:
                if once and limit.when() is None:
                    limit.reschedule(loop.time() + ONCE_S)
                yield event


def _table(sessions: Iterable[Summary]) -> Group:
    rows = sorted(sessions, key=lambda session: (session.label or "", -session.age_s))
    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(_COLUMNS):
        table.add_column(name, justify="left" if number < _LEFT else "right", no_wrap=True)
    for session in rows:
        table.add_row(
            _name(session.label),
            _name(session.episode_id),
            "done" if session.done else "cut off" if session.truncated else "",
            f"{session.step:,}",
            "" if session.reward is None else f"{session.reward:.4g}",
            "" if session.total_reward is None else f"{session.total_reward:.4g}",
            f"{session.steps_per_s:,.0f}",
            _age(session.age_s),
        )
    return Group(table, Text(f"{len(rows):,} session{'s' * (len(rows) != 1)}"))


def _name(name: str | None) -> Text:
    """Return a name that others chose as what it is: no markup, and no orders to the terminal."""
    return Text("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name or ""))


def _age(age_s: float) -> str:
    minutes, seconds = divmod(int(age_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
