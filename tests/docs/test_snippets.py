"""Every fenced block of every document is executed, compared or parsed; one that is not fails.

How, is said in reader.py, and so is what is only checked instead, with the reasons.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from benchmarks.peers.installation import python_of
from openenv.providers.docker_cleanup import remove
from tests.browsergym_server import BROWSERGYM
from tests.docs.reader import Reader, exists, reading
from tests.docs.test_links import ROOT, documents

# Pages start processes one after another.
pytestmark = pytest.mark.timeout(300)

LAYOUT = "docs/contributing.md"
OF_CONTAINERS = ["docs/howto/containers.md"]
OF_BROWSERS = ["envs/browsergym_env/README.md"]
# Node runs them: test/readme.test.js beside it.
IN_JAVASCRIPT = ["openenv/webui/source/client/README.md"]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    with reading(tmp_path) as reader:
        yield reader


@pytest.mark.parametrize(
    "document",
    [one for one in documents() if one not in OF_CONTAINERS + OF_BROWSERS + IN_JAVASCRIPT],
)
def test_every_block_does_what_its_page_says(document: str, reader: Reader) -> None:
    reader.follow(ROOT / document)


@pytest.mark.parametrize("document", OF_CONTAINERS)
def test_every_block_about_containers_does_what_its_page_says(
    document: str, reader: Reader, containers: Any
) -> None:
    reader.has_docker = True
    try:
        reader.follow(ROOT / document)
    finally:
        for name in ("my-echo",):  # detached, and stopped by the page, unless it fails before
            remove(containers.client, name)


@pytest.mark.timeout(300)  # BrowserGym may have to be installed first
@pytest.mark.parametrize("document", OF_BROWSERS)
def test_every_block_about_browsers_does_what_its_page_says(document: str, reader: Reader) -> None:
    reader.python = python_of(BROWSERGYM)
    reader.follow(ROOT / document)


@pytest.mark.parametrize("document", documents())
def test_every_file_that_a_page_names_exists(document: str) -> None:
    tokens = MarkdownIt().parse((ROOT / document).read_text(encoding="utf-8"))
    inline = [child for token in tokens for child in token.children or ()]
    names = [child.content for child in inline if child.type == "code_inline"]
    paths = [name for name in names if re.fullmatch(r"\w+/[\w/]*\.py", name)]
    assert not [path for path in paths if not exists(path)]


def test_every_room_has_its_line_in_the_layout() -> None:
    layout = (ROOT / LAYOUT).read_text(encoding="utf-8")
    modules = [path.relative_to(ROOT) for path in (ROOT / "openenv").rglob("*.py")]
    # By itself, or by the folder that it lies in.
    unnamed = [
        str(path)
        for path in modules
        if not path.name.startswith("__")
        and str(path) not in layout
        and not any(f"{folder}/ " in layout for folder in path.parents)
    ]
    assert not unnamed, f"say in {LAYOUT} what they are for"


# ---- what this file would find


BROKEN = {
    "python that raises": "```python\nprint(1 / 0)\n```\n",
    "a program that fails": "```bash\nfalse\n```\n",
    "another output": "```python\nprint(1)\n```\n```text\n2\n```\n",
    "another shape": "```python\nprint('one 1')\n```\n```text shape\ntwo 2\n```\n",
    "output of nothing": "```text\nhello\n```\n",
    "an unknown language": "```cobol\nSTOP RUN.\n```\n",
    "a fence without a language": "```\nhello\n```\n",
    "an indented block": "# Title\n\n    print(1)\n",
    "broken JSON": "```json\n{,}\n```\n",
    "a target that make lacks": "```bash\nmake coffee\n```\n",
    "an extra that does not exist": '```bash\npip install -e ".[coffee]"\n```\n',
    "a server that cannot start": "```bash\nopenenv serve coffee:Machine\n```\n",
    "a drawing of what is not there": "```mermaid\nflowchart LR\n  a[coffee/machine.py]\n```\n",
    "a layout of what is not there": "```text layout\ncoffee/  a machine\n```\n",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_broken_block_is_found(text: str, reader: Reader) -> None:
    page = reader.folder / "page.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(
        (AssertionError, ArithmeticError, ValueError, subprocess.CalledProcessError)
    ):
        reader.follow(page)


def test_a_page_that_holds_true_is_followed_to_its_end(reader: Reader) -> None:
    page = reader.folder / "page.md"
    page.write_text(
        "```python file=one.py\nONE = 1\nprint('http://127.0.0.1:8000')\n```\n"
        "```bash\npython one.py  # twice\npython -c 'import one; print(one.ONE)'\n```\n"
        "```text\nhttp://127.0.0.1:8000\nhttp://127.0.0.1:8000\n1\n```\n"
        "```python\nimport dataclasses\n@dataclasses.dataclass\nclass Two:\n    two: 'int'\n```\n"
        "```python\nprint(Two(2))\n```\n"
        "```text shape\nTwo(two=37)\n```\n",
        encoding="utf-8",
    )
    reader.follow(page)
    assert reader.printed is None
