"""From a page to what is observed of it, and nothing more than is asked for.

The trees are BrowserGym's, with its bids. Which page, and when, is episode.py's affair.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from .library import (
    Error,
    MarkingError,
    extract_dom_extra_properties,
    extract_dom_snapshot,
    extract_merged_axtree,
    flatten_axtree_to_str,
    flatten_dom_to_str,
    mark,
    prune_html,
    unmark,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from .library import Page

_TRIES = 5
_PAUSE_MS = 200
# What says that the page has changed while it was looked at.
_PASSING = (
    "Frame was detached",
    "Frame has been detached",
    "Frame with the given frameId is not found",
    "Execution context was destroyed",
    "Cannot mark a child frame without a bid",
    "Cannot read properties of undefined",
)
_SEEN = 0.5
"From which share of it on an element counts as seen, as with BrowserGym."


def observe(page: Page, fields: Collection[str], *, coordinates: bool) -> dict[str, Any]:
    """Return the fields of an observation that are asked for. Raises Error."""
    seen: dict[str, Any] = {}
    if {"axtree_txt", "pruned_html", "clicks"} & set(fields):
        seen = _texts(page, fields, coordinates=coordinates)
    if "screenshot" in fields:
        seen["screenshot"] = screenshot(page)
    return seen


def screenshot(page: Page) -> bytes:
    """Return what is seen of a page as a PNG file, scaled as the task wishes."""
    session = page.context.new_cdp_session(page)
    size = page.viewport_size or {"width": 1280, "height": 720}
    metrics = {**size, "deviceScaleFactor": 1.0, "mobile": False}
    try:
        session.send(
            "Emulation.setDeviceMetricsOverride", {**metrics, "deviceScaleFactor": scale_of(page)}
        )
        picture = session.send("Page.captureScreenshot", {"format": "png"})
        session.send("Emulation.setDeviceMetricsOverride", metrics)
    finally:
        session.detach()
    return base64.b64decode(picture["data"])


def scale_of(page: Page) -> float:
    """Return how many pixels of a screenshot there are for one of the page."""
    return float(getattr(page, "_bgym_scale_factor", 1.0))


def _texts(page: Page, fields: Collection[str], *, coordinates: bool) -> dict[str, Any]:
    dom, tree = _extract(page, has_tree="axtree_txt" in fields)
    properties = extract_dom_extra_properties(dom, scale_factor=scale_of(page))
    seen: dict[str, Any] = {}
    if "axtree_txt" in fields:
        seen["axtree_txt"] = flatten_axtree_to_str(tree, properties, with_center_coords=coordinates)
    if "pruned_html" in fields:
        seen["pruned_html"] = prune_html(flatten_dom_to_str(dom, properties))
    if "clicks" in fields:
        seen["clicks"] = [
            f"click({bid!r})"
            for bid, one in properties.items()
            if one["clickable"] and one["visibility"] is not None and one["visibility"] >= _SEEN
        ]
    return seen


def _extract(page: Page, *, has_tree: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the page's DOM and accessibility tree, marked with bids."""
    for tries_left in reversed(range(_TRIES)):
        try:
            mark(page, lenient=not tries_left)
            dom = extract_dom_snapshot(page)
            tree = extract_merged_axtree(page) if has_tree else {}
            unmark(page)
        except (Error, MarkingError) as error:
            if not tries_left or not any(text in str(error) for text in _PASSING):
                raise
            page.wait_for_timeout(_PAUSE_MS)
        else:
            return dom, tree
    raise AssertionError("the last try returns or raises")
