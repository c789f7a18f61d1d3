from benchmarks.measuring import Plan, Sample, summarize


def _sample(row: str, steps_per_s: float, number: int = 0, sessions: int = 64) -> Sample:
    return Sample(
        row=row,
        sessions=sessions,
        round=number,
        steps_per_s=steps_per_s,
        p50_us=1.0,
        p99_us=2.0,
        server_cpu_us=3.0,
        client_cpu_us=4.0,
        timed_steps=100,
        disturbance=0.0,
        opens_per_s=steps_per_s * 2,
        kib_per_session=0.5,
        server_threads=3,
    )


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
    opens = {(s.row, s.sessions): s.opens_times_baseline for s in summarize(samples, "slow")}
    assert opens == ratios


def test_without_a_baseline_there_is_no_ratio() -> None:
    (summary,) = summarize([_sample("a", 1.0)], baseline="not measured")
    assert summary.times_baseline is None


def test_a_window_is_long_enough_for_the_slowest_to_get_round_all_sessions() -> None:
    plan = Plan(rows=(), sessions=(1,), rounds=1, window_s=0.3, warmup_s=0.1)
    assert [plan.window_for_s(sessions) for sessions in (1, 500, 20_000)] == [0.3, 0.5, 1.0]
