"""The catalogue of envs/README.md says what the environments say of themselves."""

import re

import pytest

from benchmarks.catalogue import DESCRIBED, MEASURED, PAGE, described
from benchmarks.tape import Subject, subjects


def part(mark: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return text.partition(f"<!-- {mark} -->\n")[2].partition(f"\n<!-- /{mark} -->")[0].splitlines()


def test_it_is_what_manifests_and_classes_say() -> None:
    assert part(DESCRIBED) == described(), (
        "python -m benchmarks.environments --catalogue writes it anew"
    )


def test_only_environments_that_there_are_were_measured() -> None:
    measured = [line.split("|")[1].strip() for line in part(MEASURED) if line.startswith("| ")][1:]
    assert measured
    assert set(measured) <= {one.manifest.name for one in subjects()}


def test_measurements_say_where_and_when() -> None:
    caption = part(MEASURED)[-1]
    assert re.match(r"Measured on \d{4}-\d{2}-\d{2}: .+, \d+ cores, .+Python 3", caption), caption


@pytest.mark.parametrize("subject", subjects(), ids=lambda one: one.folder.name)
def test_an_environment_names_its_licence(subject: Subject) -> None:
    assert subject.manifest.license
