"""What is taken of BrowserGym and Playwright: the only module that imports them.

BrowserGym's own environment starts two browsers for each reset and observes everything; here its
tasks, actions and observations are used one by one. Its version is pinned for that.
"""

from __future__ import annotations

from openenv.errors import ConfigurationError

try:
    import browsergym
    import gymnasium
    from browsergym.core.action.highlevel import HighLevelActionSet
    from browsergym.core.action.parsers import NamedArgument, highlevel_action_parser
    from browsergym.core.constants import BROWSERGYM_ID_ATTRIBUTE
    from browsergym.core.observation import (
        MarkingError,
        _post_extract,
        _pre_extract,
        extract_dom_extra_properties,
        extract_dom_snapshot,
        extract_merged_axtree,
    )
    from browsergym.core.task import AbstractBrowserTask
    from browsergym.utils.obs import flatten_axtree_to_str, flatten_dom_to_str, prune_html
    from playwright.sync_api import (
        Browser,
        BrowserContext,
        CDPSession,
        Error,
        Page,
        Playwright,
        sync_playwright,
    )
    from pyparsing import ParseBaseException
except ModuleNotFoundError as error:
    raise ConfigurationError(
        f"browsergym_env needs BrowserGym (there is no {error.name}): "
        "pip install 'openenv[browsergym]'"
    ) from error

mark, unmark = _pre_extract, _post_extract
parser = highlevel_action_parser

__all__ = [
    "AbstractBrowserTask",
    "BROWSERGYM_ID_ATTRIBUTE",
    "Browser",
    "BrowserContext",
    "CDPSession",
    "Error",
    "HighLevelActionSet",
    "MarkingError",
    "NamedArgument",
    "Page",
    "ParseBaseException",
    "Playwright",
    "browsergym",
    "extract_dom_extra_properties",
    "extract_dom_snapshot",
    "extract_merged_axtree",
    "flatten_axtree_to_str",
    "flatten_dom_to_str",
    "gymnasium",
    "mark",
    "parser",
    "prune_html",
    "sync_playwright",
    "unmark",
]
