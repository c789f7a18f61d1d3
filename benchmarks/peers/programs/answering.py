"""Runs scenarios by name, as asked on standard input: for every interpreter's programs."""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import traceback
from typing import TYPE_CHECKING, Any

from listening import announce, versions  # type: ignore[import-not-found] # beside this file

if TYPE_CHECKING:
    from collections.abc import Callable


def answer_scenarios(*scenarios: Callable[[str], Any]) -> None:
    """Announce {"versions"}, then answer each line {"scenario", "url"} with what it returned."""
    known = {scenario.__name__: scenario for scenario in scenarios}
    announce({"versions": versions()})
    for line in sys.stdin:
        request = json.loads(line)
        scenario = known[request["scenario"]]
        try:
            seen = scenario(request["url"])
            announce(asyncio.run(seen) if inspect.iscoroutine(seen) else seen)
        except Exception:  # noqa: BLE001 - goes to whoever asked
            announce({"failed": traceback.format_exc()})
