import pytest

from benchmarks.placed import work
from benchmarks.placement import LOADS, Load, Window, loops_for, table


def test_the_ideal_is_what_environments_alone_would_reach() -> None:
    assert Load("asleep", "Sleep").ideal(sessions=64, cores=2) == 12_800
    assert Load("work", "Work", 1000).ideal(sessions=64, cores=2) == 2000
    assert Load("echo", "Echo").ideal(sessions=64, cores=2) is None


def test_work_is_an_amount_that_takes_the_time_it_is_named_for() -> None:
    assert work(4) == 6
    assert loops_for(1000) == pytest.approx(loops_for(200) * 5, abs=5)
    assert loops_for(200) > 0


def test_a_table_shows_medians_and_their_share_of_the_ideal() -> None:
    name = LOADS[-1].name
    windows = [Window(name, "thread", rate, 1.0, 2.0, 3.0, 0.0) for rate in (100.0, 6400.0, 9000.0)]
    [place], [rate], [share] = (list(table(windows, 64).columns[i].cells) for i in (1, 2, 3))
    assert (place, rate, share) == ("thread", "6,400", "50%")
