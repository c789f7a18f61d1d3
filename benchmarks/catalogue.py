"""The catalogue of envs/README.md: what there is, by the manifests, and how fast, by measuring.

What the manifests, the payload classes and pyproject.toml say is compared by the tests with what
stands there; measurements name their machine and date.
"""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

from benchmarks.report import RESULTS, put_between_marks
from benchmarks.tape import CHECKOUT, subjects
from openenv.server.target import load_member

if TYPE_CHECKING:
    from benchmarks.tape import Subject

PAGE = CHECKOUT / "envs/README.md"
DESCRIBED, MEASURED, EARNED = "catalogue", "measured", "earned"
"What the parts of the page are marked with."


def publish() -> list[str]:
    """Write all parts that something is known of; return their names."""
    put_between_marks(PAGE, described(), DESCRIBED)
    written = [DESCRIBED]
    for mark, lines in ((MEASURED, _measured), (EARNED, _earned)):
        found = _newest({MEASURED: "environments", EARNED: "policies"}[mark])
        if found is not None:
            put_between_marks(PAGE, lines(found), mark)
            written.append(mark)
    return written


def described() -> list[str]:
    """Return a line for each environment, from what it says of itself."""
    extras = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    lines = [
        "| environment | what it is | an action | an observation | extra of openenv | licence |",
        "|---|---|---|---|---|---|",
    ]
    for one in subjects():
        manifest, stem = one.manifest, one.manifest.stem
        cells = (
            f"[{manifest.name}]({one.folder.name}/README.md)",
            manifest.description,
            _said_of(one, manifest.action),
            _said_of(one, manifest.observation),
            f"`{stem}`" if stem in extras else "",
            manifest.license or "",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def _said_of(subject: Subject, name: str | None) -> str:
    """Return the first sentence of what a payload class says of itself."""
    module, _, attribute = (name or "").rpartition(".")
    said = inspect.getdoc(load_member(subject.folder, f"{module or 'models'}:{attribute}")) or ""
    return re.split(r"[.:]\s|\.$", said.partition("\n\n")[0].replace("\n", " "))[0]


def _newest(question: str) -> dict[str, Any] | None:
    """Return what the newest run has found that was not asked for some environments alone."""
    for path in sorted(RESULTS.glob(f"{question}-*.json"), reverse=True):
        found: dict[str, Any] = json.loads(path.read_text())
        if found["is_whole"]:
            return found
    return None


def _measured(found: dict[str, Any]) -> list[str]:
    lines = [
        "| environment | runs by default | ms per step | steps/s of a core, called directly "
        "| served | of that | sessions per core | best place |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for one in found["findings"]:
        best = "" if one["best"] == one["execution"] else f"{one['best']}: {one['best_ratio']:.0%}"
        cells = (
            one["environment"],
            one["execution"],
            f"{1e3 / one['raw_steps_per_s']:.3g}",
            f"{one['raw_steps_per_s']:,.0f}",
            f"{one['steps_per_s']:,.0f}",
            f"{one['ratio']:.0%}",
            f"{one['sessions_per_core']:,}",
            best,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", _caption(found)]


def _earned(found: dict[str, Any]) -> list[str]:
    lines = [
        "| environment | task | episodes | actions at random | sample policy |",
        "|---|---|---:|---:|---:|",
    ]
    for one in found["returns"]:
        cells = (
            one["environment"],
            one["task"],
            str(one["episodes"]),
            f"{one['random']:,.2f}",
            f"{one['policy']:,.2f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", _caption(found)]


def _caption(found: dict[str, Any]) -> str:
    machine = found["machine"]
    date = found["measured_at"].partition("T")[0]
    return (
        f"Measured on {date}: {machine.get('processor', machine['architecture'])}, "
        f"{machine['cores']} cores, load {machine['load_before']:.1f} before, "
        f"Python {machine['python']}."
    )
