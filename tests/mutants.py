"""`make mutants FILES="..."`: which mistakes in a file would its tests not notice?

cosmic-ray changes one operator, number or condition after the other, in a copy of the checkout, and
runs a small selection of tests for each. What it is told is here; how to read what it prints is in
docs/contributing.md.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
COSMIC_RAY = ROOT / ".venv-mutants" / "bin"

CORE = {
    "openenv/protocol": (),
    "openenv/server/sessions": (
        "tests/interaction/test_capacity_and_ends.py",
        "tests/interaction/test_deadlines.py",
    ),
    "openenv/server/runners": (
        "tests/interaction/test_bad_input.py",
        "tests/interaction/test_streaming.py",
        "tests/interaction/test_deadlines.py",
    ),
    "openenv/server/links": (
        "tests/interaction/test_raw_sockets.py",
        "tests/interaction/test_step_many.py",
        "tests/interaction/test_blocked_sockets.py",
    ),
    "openenv/client/link": (
        "tests/interaction/test_deadlines.py",
        "tests/e2e/test_link_survives.py",
    ),
}
"Room of the core -> the tests of its behaviour, which run after the tests of the file itself."

TEST_TIMEOUT_S = 20
"One test; a mutant that hangs is killed by this."
MUTANT_TIMEOUT_S = 120.0

KEPT_OPERATORS = (
    "Binary.*_(Add_Sub|Sub_Add|Mul_FloorDiv|Div_Mul|FloorDiv_Mul|Mod_Add|Pow_Mul)",
    "Comparison.*_(Eq_NotEq|NotEq_Eq|Is_IsNot|IsNot_Is|In_NotIn|NotIn_In)",
    "Comparison.*_(Lt_LtE|LtE_Lt|Gt_GtE|GtE_Gt|Lt_GtE|LtE_Gt|Gt_LtE|GtE_Lt)",
    "(Unary|True|False|And|Or|Break|Continue).*",
)
"Of the replacements one per kind: a `+` that may become `-` unnoticed may become `*`, too."

EXCLUDED = [
    f"core/Replace(?!{'|'.join(KEPT_OPERATORS)}).*",
    # These are never seen to be wrong: a type is looked at by mypy alone.
    "core/ReplaceBinaryOperator_BitOr_.*",
]


def tests_of(path: str) -> list[str]:
    """Return the test files for a file of the core, its own first. Raises LookupError."""
    room, _, name = path.rpartition("/")
    own = f"{room.replace('openenv', 'tests', 1)}/test_{name}"
    tests = [own] if (ROOT / own).exists() else []
    tests += CORE[room]
    if not tests:
        raise LookupError(f"{path} has no tests of its own")
    return tests


def configuration(path: str) -> str:
    """Return what cosmic-ray is told, as TOML."""
    command = [
        *(str(ROOT / ".venv/bin/python"), "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"),
        *("-p", "no:randomly", "--timeout", str(TEST_TIMEOUT_S), *tests_of(path)),
    ]
    return "\n".join(
        (
            "[cosmic-ray]",
            f"module-path = {json.dumps(path)}",
            f"timeout = {MUTANT_TIMEOUT_S}",
            "excluded-modules = []",
            f"test-command = {json.dumps('env PYTHONPATH=. ' + ' '.join(command))}",
            "[cosmic-ray.distributor]",
            'name = "local"',
            "[cosmic-ray.filters.operators-filter]",
            f"exclude-operators = {json.dumps(EXCLUDED)}",
        )
    )


def copy_checkout(folder: Path) -> None:
    """Copy the tracked files, as they are now: mutants are written where the files lie."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def run(folder: Path, command: str, *arguments: str) -> str:
    """Run a command of cosmic-ray; return what it prints."""
    done = subprocess.run(
        [COSMIC_RAY / command, *arguments],
        cwd=folder,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


def results(folder: Path) -> Iterator[tuple[dict[str, object], str]]:
    """Yield each mutation that was tried, and the outcome of its tests."""
    for line in run(folder, "cosmic-ray", "dump", "session.sqlite").splitlines():
        item, result = json.loads(line)
        if result and result["worker_outcome"] == "normal":
            yield item["mutations"][0], result["test_outcome"]


def say(line: str) -> None:
    """Print a line at once: the next file may take minutes."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def check(path: str, folder: Path) -> None:
    """Try all mutants of a file, and print its score and its survivors."""
    (folder / "mutants.toml").write_text(configuration(path), encoding="utf-8")
    (folder / "session.sqlite").unlink(missing_ok=True)
    run(folder, "cosmic-ray", "baseline", "mutants.toml")
    run(folder, "cosmic-ray", "init", "mutants.toml", "session.sqlite")
    run(folder, "cr-filter-operators", "session.sqlite", "mutants.toml")
    run(folder, "cosmic-ray", "exec", "mutants.toml", "session.sqlite")
    outcomes = list(results(folder))
    survivors = [mutation for mutation, outcome in outcomes if outcome == "survived"]
    say(f"{path}: {len(outcomes) - len(survivors)} of {len(outcomes)} mutants were noticed")
    lines = (folder / path).read_text(encoding="utf-8").splitlines()
    for mutation in survivors:
        number = int(str(mutation["start_pos"][0]))  # type: ignore[index]
        say(f"  {path}:{number} {mutation['operator_name']}: {lines[number - 1].strip()}")


def main(paths: list[str]) -> None:
    """Check these files, or all of the core."""
    every = [str(path.relative_to(ROOT)) for room in CORE for path in (ROOT / room).glob("*.py")]
    with tempfile.TemporaryDirectory(prefix="openenv-mutants-") as name:
        folder = Path(name)
        copy_checkout(folder)
        for path in paths or sorted(path for path in every if not path.endswith("__init__.py")):
            check(path, folder)


if __name__ == "__main__":
    main(sys.argv[1:])
