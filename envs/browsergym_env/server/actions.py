"""Actions: from the text of an action to calls of BrowserGym's functions, checked beforehand.

What they do in a page is BrowserGym's affair, which episode is theirs is episode.py's.
"""

from __future__ import annotations

import functools
import inspect
import math
from typing import TYPE_CHECKING, Any

from .library import Error, HighLevelActionSet, NamedArgument, ParseBaseException, parser
from .network import is_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .library import Page

# These read files of the server's.
_NOT_OFFERED = {"upload_file", "mouse_upload_file"}
MAX_WAIT_MS = 10_000

ACTION_ERRORS = (
    Error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    ParseBaseException,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
"What an action may raise that cannot be done: the player is told, and goes on."


class Actions:
    """The functions that a player may call, and the page that they are called on."""

    def __init__(self, groups: Iterable[str], say: Callable[[str], None], give_up: Any) -> None:
        """Offer groups of them; `say` and `give_up` take what is said to the user."""
        code, self.names = _functions_of(tuple(groups))
        self._globals: dict[str, Any] = {
            "DEMO_MODE": False,
            "send_message_to_user": say,
            "report_infeasible_instructions": give_up,
        }
        # Not the player's code but BrowserGym's, which its functions come as.
        exec(code, self._globals)

    def perform(self, text: str, page: Page) -> Page:
        """Call what the text says, on a page; return the page that is shown then.

        Raises one of ACTION_ERRORS; if the text makes no sense, before anything is called.
        """
        self._globals["page"] = page
        for function, positional, named in self._parse(text):
            function(*positional, **named)
        # BrowserGym's functions for tabs leave it there.
        shown: Page = self._globals["page"]
        return shown

    def _parse(self, text: str) -> list[tuple[Callable[..., None], list[Any], dict[str, Any]]]:
        """Find the calls in what may be a model's answer, with words around them."""
        found = [call for calls in parser.search_string(text).as_list() for call in calls]
        if not found:
            raise ValueError(f"no action in {text!r:.200}: an action is a call such as click('12')")
        calls = []
        for name, arguments in found:
            if name not in self.names:
                raise ValueError(f"there is no action {name!r:.80}; there is {self._list()}")
            positional = [one for one in arguments if not isinstance(one, NamedArgument)]
            named = {one.name: one.value for one in arguments if isinstance(one, NamedArgument)}
            function = self._globals[name]
            values = inspect.signature(function).bind(*positional, **named).arguments
            _check(name, values)
            calls.append((function, positional, named))
        return calls

    def _list(self) -> str:
        return ", ".join(self.names)


def _check(name: str, values: dict[str, Any]) -> None:
    """Refuse what a page must not be asked. Raises ValueError."""
    for value in values.values():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name} takes no {value}")
    if name == "goto" and not is_page(values["url"]):
        raise ValueError("goto opens http:// and https:// alone")
    if name == "noop" and not 0 <= values.get("wait_ms", 0) <= MAX_WAIT_MS:
        raise ValueError(f"noop waits at most {MAX_WAIT_MS} ms")


@functools.cache
def _functions_of(groups: tuple[str, ...]) -> tuple[Any, list[str]]:
    """Return BrowserGym's functions of some groups as code, and their names."""
    offered = HighLevelActionSet(list(groups), demo_mode="off")
    code = compile(offered.python_includes, "<actions of BrowserGym>", "exec")
    return code, [name for name in offered.action_set if name not in _NOT_OFFERED]
