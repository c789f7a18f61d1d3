"""Report: summaries of recordings as one HTML page without external files.

Owns which numbers and curves are shown. templates/report.html.j2 and static/ define how they look,
and become part of the page. uPlot (static/uplot.min.js, MIT licence) draws the curves.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from statistics import fmean, pstdev, quantiles
from typing import TYPE_CHECKING, Any

import msgspec

from openenv.errors import ConfigurationError
from openenv.recording.manifest import RunManifest, manifest_path
from openenv.recording.summary import BINS_PER_OCTAVE, summarize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from os import PathLike

    from openenv.recording.summary import RecordingSummary, Times

FOLDER = Path(__file__).parent
POINTS = 160
"The most points of a curve over the run; each point stands for equally many episodes."
FAILURE_POINTS = 40
"The most points of the curve of failures; fewer, because failures are rare."
BINS = 40
LARGEST = 1e300
TIME_BINS_PER_OCTAVE = 8
PERCENTILES = (0.5, 0.95, 0.99)


def write_report(
    recordings: Iterable[str | PathLike[str]], out: str | PathLike[str]
) -> list[RecordingSummary]:
    """Write a page about recordings, side by side if there are several; return their summaries.

    Raises ConfigurationError for a file that does not exist or cannot be written, PayloadError for
    a file that is not a recording.
    """
    template = _template()
    paths = [Path(path) for path in recordings]
    out = Path(out)
    for path in paths:
        _check_there(path)
        if out.exists() and out.samefile(path):
            raise ConfigurationError(f"{out} is a recording: give the page another name")
    summaries = [summarize(path) for path in paths]
    try:
        out.write_text(template.render(**_content(summaries)), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {out}: {error.strerror}") from error
    return summaries


def _check_there(path: Path) -> None:
    if path.is_file():
        return
    part = path.with_name(f"{path.name}.part")
    hint = f"; {part} does: its run has not ended" if part.is_file() else ""
    raise ConfigurationError(f"the recording {path} does not exist{hint}")


@cache
def _template() -> Any:
    try:
        # Imported late, because it belongs to an extra.
        from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415
    except ImportError:
        raise ConfigurationError("a report needs jinja2: pip install 'openenv[report]'") from None
    # The static files go into the page as they are; everything else is escaped.
    environment = Environment(
        loader=FileSystemLoader([FOLDER / "templates", FOLDER / "static"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "time": time, "share": share}
    environment.globals |= {"static": _static, "nan": math.nan}
    return environment.get_template("report.html.j2")


def _static(name: str) -> str:
    return (FOLDER / "static" / name).read_text(encoding="utf-8")


# ---- numbers for people


def number(value: float) -> str:
    """Return a number with thousands separators and four significant digits."""
    if not math.isfinite(value):
        return "-" if math.isnan(value) else str(value)
    if float(value).is_integer():
        return f"{value:,.0f}"
    digits = max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 6)}f}"


def time(value_s: float) -> str:
    """Return a time with the unit that suits its size."""
    if math.isnan(value_s):
        return "-"
    for unit, size_s in (("s", 1.0), ("ms", 1e-3)):
        if value_s >= size_s:
            return f"{value_s / size_s:,.3g} {unit}" if value_s < 1000 else f"{value_s:,.0f} s"
    return f"{value_s * 1e6:,.3g} µs"


def share(value: float) -> str:
    """Return a share as a percentage that reads 0 or 100 only if the share is exactly that."""
    percent = 100 * value
    if 0 < percent < 0.1:
        return "< 0.1 %"
    return "> 99.9 %" if 99.9 < percent < 100 else f"{percent:.3g} %"


# ---- the page's content


def _content(summaries: Sequence[RecordingSummary]) -> dict[str, Any]:
    returns = [_finite(summary.returns) for summary in summaries]
    return {
        "names": _names([summary.path for summary in summaries]),
        "summaries": summaries,
        "manifests": [_manifest(summary.path) for summary in summaries],
        "returns": [_moments(values) for values in returns],
        "lengths": [_moments(summary.lengths) for summary in summaries],
        "percentiles": PERCENTILES,
        "charts": {
            "returns": [_curve(summary.numbers, summary.returns) for summary in summaries],
            "lengths": [_curve(summary.numbers, summary.lengths) for summary in summaries],
            "latencies": [
                _curve(summary.numbers, summary.mean_latencies_s) for summary in summaries
            ],
            "policies": [_curve(summary.numbers, summary.mean_policy_s) for summary in summaries],
            "failures": [_failure_curve(summary) for summary in summaries],
            "return-distribution": _histogram(returns),
            "length-distribution": _histogram([summary.lengths for summary in summaries]),
            "step-distribution": _time_histogram([summary.step_times for summary in summaries]),
            "policy-distribution": _time_histogram([summary.policy_times for summary in summaries]),
        },
    }


def _names(paths: Sequence[Path]) -> list[str]:
    """Return short names that differ for all recordings."""
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _manifest(path: Path) -> RunManifest | None:
    try:
        return msgspec.json.decode(manifest_path(path).read_bytes(), type=RunManifest)
    except (OSError, ValueError):
        return None  # the manifest is optional


def _finite(values: Iterable[float]) -> list[float]:
    # The difference of two larger values would be infinite.
    return [value for value in values if abs(value) < LARGEST]


def _moments(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return dict.fromkeys(("mean", "deviation", "least", "median", "most"), math.nan)
    return {
        "mean": fmean(values),
        "deviation": pstdev(values),
        "least": min(values),
        "median": sorted(values)[(len(values) - 1) // 2],
        "most": max(values),
    }


def _curve(
    numbers: Sequence[int], values: Sequence[float], points: int = POINTS
) -> dict[str, list[float | None]]:
    """Return a value's course over the run: the mean, and the band with four of five episodes."""
    size = max(1, math.ceil(len(values) / points))
    curve: dict[str, list[float | None]] = {"x": [], "mean": [], "low": [], "high": []}
    for start in range(0, len(values), size):
        group = _finite(values[start : start + size])
        low, high = _band(group)
        curve["x"].append(numbers[start])
        curve["mean"].append(_rounded(fmean(group)) if group else None)
        curve["low"].append(low)
        curve["high"].append(high)
    return curve


def _failure_curve(summary: RecordingSummary) -> dict[str, list[float | None]]:
    """Return the share of failed episodes over the run, in percent."""
    failed = [100.0 * math.isnan(value) for value in summary.returns]
    curve = _curve(summary.numbers, failed, FAILURE_POINTS)
    nothing: list[float | None] = [None] * len(curve["x"])
    return curve | {"low": nothing, "high": nothing}


def _band(group: Sequence[float]) -> tuple[float | None, float | None]:
    if len(group) < 2:
        return (None, None)
    tenths = quantiles(group, n=10, method="inclusive")
    return _rounded(tenths[0]), _rounded(tenths[-1])


def _histogram(many: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Return the share of values in each bin; all recordings have the same bins."""
    everything = [extreme for values in many if values for extreme in (min(values), max(values))]
    if not everything:
        return {"x": [], "shares": [[] for _ in many]}
    least, most = min(everything), max(everything)
    width = (most - least) / BINS or 1.0
    if all(value.is_integer() for values in many for value in values):
        width = max(1.0, math.ceil((most - least + 1) / BINS))
        least -= 0.5
    count = max(1, min(BINS + 1, math.floor((most - least) / width) + 1))

    def index_of(value: float) -> int:
        return min(count - 1, int((value - least) / width))

    return _bins([least + index * width for index in range(count + 1)], many, index_of)


def _bins(
    edges: list[float], many: Sequence[Sequence[float]], index_of: Callable[[float], int]
) -> dict[str, Any]:
    shares = []
    for values in many:
        counts = [0] * (len(edges) - 1)
        for value in values:
            counts[index_of(value)] += 1
        shares.append(_shares(counts))
    return {"x": [_rounded(edge) for edge in edges], "shares": shares}


def _time_histogram(many: Sequence[Times]) -> dict[str, Any]:
    """Return the share of times in each bin, for all recordings; bins grow with the time."""
    coarse = BINS_PER_OCTAVE // TIME_BINS_PER_OCTAVE
    used = [index // coarse for times in many for index in times.bins]
    if not used:
        return {"x": [], "shares": [[] for _ in many]}
    first, count = min(used), max(used) - min(used) + 1
    shares = []
    for times in many:
        counts = [0] * count
        for index, seen in times.bins.items():
            counts[index // coarse - first] += seen
        shares.append(_shares(counts))
    edges = [2 ** ((first + index) / TIME_BINS_PER_OCTAVE) for index in range(count + 1)]
    marks = [
        [
            _rounded(times.quantile_s(percentile)) if times.count else None
            for percentile in PERCENTILES
        ]
        for times in many
    ]
    return {"x": [_rounded(edge) for edge in edges], "shares": shares, "marks": marks}


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts) or 1
    return [_rounded(100 * count / total) for count in counts]


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
