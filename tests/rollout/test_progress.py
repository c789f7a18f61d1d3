"""The bar shows what the tally says, to those who want to see it."""

import sys

import pytest

from openenv.errors import ConfigurationError
from openenv.rollout.progress import Tally, progress_bar


async def test_the_bar_shows_rates_return_and_failures(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    tally = Tally()
    with progress_bar(True, tally, episodes=10):
        tally.start()
        tally.episodes, tally.steps, tally.total_return = 10, 40, 13.5
        tally.causes["STEP_TIMEOUT"] = 1
        tally.started_at_s, tally.stopped_at_s = 100.0, 102.0
    shown = capsys.readouterr().err.splitlines()[-1]
    assert "10/10" in shown
    assert "5 episodes/s 20 steps/s return 1.5 failed 1" in shown


@pytest.mark.parametrize("wanted", [None, False])
async def test_nothing_is_shown_where_nobody_looks(
    wanted: bool | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress_bar(wanted, Tally(), episodes=10):
        pass
    assert capsys.readouterr() == ("", "")


async def test_without_rich_a_bar_is_refused_only_if_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("openenv.rollout.progress.find_spec", lambda _: None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress_bar(None, Tally(), episodes=1):
        pass
    with pytest.raises(ConfigurationError, match=r"pip install 'openenv\[cli\]'"):
        progress_bar(True, Tally(), episodes=1).__enter__()
