"""Every link from a document into this repository leads to a file, and to a heading of it."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^#+\s+(.+?)\s*#*$", re.MULTILINE)


def documents() -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", "*.md"]
    out = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for path in out.splitlines() if (ROOT / path).is_file()]


def prose(path: Path) -> str:
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """The anchors that rendering gives the headings of a document."""
    found: set[str] = set()
    for title in HEADING.findall(prose(path)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        repeats = sum(1 for one in found if re.fullmatch(re.escape(slug) + r"(-\d+)?", one))
        found.add(f"{slug}-{repeats}" if repeats else slug)
    return found


def broken_links(path: Path) -> list[str]:
    broken = []
    for target in LINK.findall(prose(path)):
        if re.match(r"[a-z][a-z+.-]*:", target):
            continue
        file, _, anchor = target.partition("#")
        linked = (path.parent / file).resolve() if file else path
        missing_anchor = anchor and linked.suffix == ".md" and linked.is_file()
        if not linked.exists() or (missing_anchor and anchor not in anchors(linked)):
            broken.append(target)
    return broken


def test_the_readme_is_among_the_documents() -> None:
    assert "README.md" in documents()


@pytest.mark.parametrize("document", documents())
def test_every_link_leads_somewhere(document: str) -> None:
    assert not broken_links(ROOT / document)


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# The `first` title!\n# Same\n# Same\n", encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(
        "# Here\n[a](other.md) [b](other.md#the-first-title) [c](#here) [d](other.md#same-1)\n"
        "[e](https://example.org/x)\n```\n[f](nowhere.md)\n```\n"
        "[g](nowhere.md) [h](other.md#second) [i](#there)\n",
        encoding="utf-8",
    )
    assert broken_links(page) == ["nowhere.md", "other.md#second", "#there"]
