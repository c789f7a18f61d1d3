from benchmarks.measuring import Sample, summarize


def _sample(row: str, steps_per_s: float, number: int = 0, sessions: int = 64) -> Sample:
    return Sample(row, sessions, number, steps_per_s, 1.0, 2.0, 3.0, 4.0, 100, 0.0)


def test_a_summary_is_the_median_of_the_rounds_and_their_range() -> None:
    samples = [_sample("a", rate, number) for number, rate in enumerate((10.0, 1000.0, 20.0))]
    (summary,) = summarize(samples, baseline="a")
    assert summary.steps_per_s == 20.0
    assert (summary.lowest_steps_per_s, summary.highest_steps_per_s) == (10.0, 1000.0)


def test_ratios_are_to_the_baseline_at_the_same_number_of_sessions() -> None:
    samples = [
        _sample("slow", 10.0),
        _sample("slow", 5.0, sessions=256),
        _sample("fast", 40.0),
        _sample("fast", 50.0, sessions=256),
    ]
    ratios = {(s.row, s.sessions): s.times_baseline for s in summarize(samples, "slow")}
    assert ratios["fast", 64] == 4.0
    assert ratios["fast", 256] == 10.0


def test_without_a_baseline_there_is_no_ratio() -> None:
    (summary,) = summarize([_sample("a", 1.0)], baseline="not measured")
    assert summary.times_baseline is None
