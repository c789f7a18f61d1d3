"""The page's files are what `make web` builds from its sources, and small."""

import gzip
from pathlib import Path

import pytest

from tests.node import run_npm, workspace
from tests.patience import patient
from tests.processes import ROOT

STATIC = ROOT / "openenv/webui/static"
MAX_COMPRESSED_BYTES = 400_000


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.timeout(240)  # the compilers of the page, beside other tests
def test_the_files_in_the_checkout_are_what_the_sources_make(tmp_path: Path) -> None:
    workspace()
    run_npm(
        "run",
        "build",
        "--workspace",
        "page",
        "--",
        "--outDir",
        str(tmp_path),
        timeout_s=patient(200),
    )
    built, committed = files_of(tmp_path), files_of(STATIC)
    assert built.keys() == committed.keys(), "run `make web`"
    changed = [name for name, content in built.items() if committed[name] != content]
    assert not changed, f"{changed} differ: run `make web`"


@pytest.mark.timeout(240)
def test_the_parts_of_the_page_do_as_they_should() -> None:
    workspace()
    assert "passed" in run_npm("run", "test", "--workspace", "page")


def test_the_page_is_small() -> None:
    sizes = {name: len(gzip.compress(content)) for name, content in files_of(STATIC).items()}
    assert sum(sizes.values()) < MAX_COMPRESSED_BYTES, sizes


def test_the_page_asks_no_other_host() -> None:
    html = (STATIC / "index.html").read_text()
    assert "//" not in html
    styles = "".join(path.read_text() for path in STATIC.rglob("*.css"))
    assert "//" not in styles
    assert "@import" not in styles
