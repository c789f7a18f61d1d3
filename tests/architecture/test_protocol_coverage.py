"""Every line and branch of a file of protocol/ is run by that file's own tests, not just by any."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import coverage
import pytest

ROOT = Path(__file__).parents[2]
# The first test waits for all that it measures.
pytestmark = pytest.mark.timeout(240)
MODULES = sorted({path.stem for path in (ROOT / "openenv/protocol").glob("*.py")} - {"__init__"})


def own_tests(module: str) -> str:
    return f"tests/protocol/test_{module}.py"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> coverage.Coverage:
    """What each test runs, measured in a process of its own."""
    data_file = tmp_path_factory.mktemp("coverage") / "data"
    # The run that this test belongs to may be measured too: the inner one is none of its business.
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("COV", "PYTEST"))}
    options = ["-p", "no:cacheprovider", "--cov=openenv.protocol", "--cov-context=test"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--cov-fail-under=0", *options, *map(own_tests, MODULES)],
        cwd=ROOT,
        env=inherited | {"COVERAGE_FILE": str(data_file)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout
    measured = coverage.Coverage(str(data_file), config_file=str(ROOT / "pyproject.toml"))
    measured.load()
    return measured


def covered_percent(measured: coverage.Coverage, module: str, tests: str) -> tuple[float, str]:
    """Return how much of a module the tests of one file cover, and the report that says so."""
    report = io.StringIO()
    percent = measured.report(
        include=[f"*/openenv/protocol/{module}.py"],
        # Without a context: what runs when the module is imported.
        contexts=["^$", f"^{re.escape(tests)}::"],
        file=report,
    )
    return percent, report.getvalue()


@pytest.mark.parametrize("module", MODULES)
def test_a_file_is_covered_whole_by_its_own_tests(measured: coverage.Coverage, module: str) -> None:
    percent, report = covered_percent(measured, module, own_tests(module))
    assert percent == 100, report


def test_what_the_own_tests_another_file_run_does_not_count(measured: coverage.Coverage) -> None:
    percent, _ = covered_percent(measured, "legacy", own_tests("link"))
    assert percent < 60
