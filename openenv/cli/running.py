"""How a command runs: errors become a line or two on stderr and an exit code.

Exit codes: 1 after an error, 2 for a wrong command line (typer's), 130 after Ctrl-C.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openenv.errors import OpenEnvError

try:
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

logger = logging.getLogger("openenv.cli")

INTERRUPTED = 130

Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


@contextmanager
def reporting(debug: bool = False) -> Iterator[None]:
    """Report an exception of the block and exit; with `debug` let it pass with its traceback."""
    try:
        yield
    except KeyboardInterrupt as error:
        _report("stopped", error)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        raise  # the reader of our stdout has closed it: click exits without a message
    except (OpenEnvError, OSError) as error:
        if debug:
            raise
        _report(str(error), error)
        raise typer.Exit(1) from None
    except typer.Exit:
        raise
    except Exception as error:  # the command line's boundary: a traceback only with --debug
        if debug:
            raise
        logger.debug("unexpected", exc_info=True)
        _report(f"{type(error).__name__}: {error}\n(--debug shows where)", error)
        raise typer.Exit(1) from None


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Make SIGTERM raise KeyboardInterrupt, as Ctrl-C does, so that the block cleans up."""
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def log_to_stderr(debug: bool = False) -> None:
    """Log warnings to stderr; with `debug` log everything, with tracebacks."""
    logging.basicConfig(format="openenv: %(message)s")
    logging.getLogger("openenv").setLevel(logging.DEBUG if debug else logging.WARNING)
    # Errors of an environment in this process are reported as failed episodes: do not log them too.
    logging.getLogger("openenv.server").setLevel(logging.DEBUG if debug else logging.CRITICAL)


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end, on uvloop where that is installed."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)


def _report(message: str, error: BaseException) -> None:
    # After Ctrl-C the notes are on the CancelledError, which is the context of KeyboardInterrupt.
    noted = (error, error.__context__)
    notes = [note for source in noted for note in getattr(source, "__notes__", ())]
    typer.echo("\n".join((f"openenv: {message}", *notes)), err=True)
