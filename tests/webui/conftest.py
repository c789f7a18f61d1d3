"""A browser for all tests of a file, and for each test visitors of its own."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.browser import Visitor, launched


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as browser:
        yield browser


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Visitor]]:
    """Open the page of a server; afterwards it must have been quiet."""
    visitors: list[Visitor] = []

    def visit(url: str, part: str = "", **context: Any) -> Visitor:
        visitor = Visitor(browser, url, **context)
        visitors.append(visitor)
        visitor.page.goto(f"{url}/web/{part}")
        return visitor

    yield visit
    for visitor in visitors:
        visitor.leave()


@pytest.fixture
def scripted(browser: Any) -> Iterator[Callable[[str], Any]]:
    """Open a page that holds nothing but openenv.js, as `openenv`."""
    from tests.browser import script  # noqa: PLC0415 - needs npm, which other tests do not

    visitors: list[Visitor] = []

    def scripted(url: str) -> Any:
        visitor = Visitor(browser, url)
        visitors.append(visitor)
        script(visitor)
        return visitor.page

    yield scripted
    for visitor in visitors:
        visitor.expect("favicon.ico")
        visitor.leave()
