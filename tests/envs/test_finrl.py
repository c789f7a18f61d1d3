"""The trading environment: FinRL's numbers, its own rules, and whole episodes over a server."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet
from pyarrow.csv import read_csv

from envs.finrl_env import FinRLAction, FinRLEnv
from envs.finrl_env.server.app import app
from envs.finrl_env.server.environment import FinRLEnvironment
from envs.finrl_env.server.indicators import INDICATORS, turbulence_of
from envs.finrl_env.server.market import Market, market_of
from openenv.errors import ConfigurationError, EnvironmentFault
from tests.envs.finrl_reference import CASH, HMAX, STEPS, THRESHOLD
from tests.envs.finrl_trace import FIRST_DAY, INDICATOR, TRACE, write_market
from tests.patience import within
from tests.serving import serving

STOCKS = 10


# ---- as FinRL


@pytest.mark.parametrize(("name", "threshold"), [("calm", None), ("turbulent", THRESHOLD)])
def test_states_and_rewards_are_those_of_finrl(name: str, threshold: float | None) -> None:
    trace = np.load(TRACE)
    environment = FinRLEnvironment(
        initial_amount=CASH, hmax=HMAX, sell_cost_pct=0.002, indicators=[INDICATOR]
    )
    seen = environment.reset(start=FIRST_DAY, days=STEPS + 1, turbulence_threshold=threshold)
    states, rewards = [seen.state], []
    for action in trace["actions"]:
        assert not seen.done
        seen = environment.step(FinRLAction(actions=action.tolist()))
        states.append(seen.state)
        rewards.append(seen.reward)
    assert seen.done
    np.testing.assert_allclose(states, trace[f"{name}_states"], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(rewards, trace[f"{name}_rewards"], rtol=0, atol=1e-9)


def test_the_trace_has_days_on_which_everything_was_sold() -> None:
    trace, turbulence = np.load(TRACE), Market.load().turbulence
    assert turbulence is not None
    days = np.flatnonzero(turbulence[FIRST_DAY + 1 : FIRST_DAY + STEPS] >= THRESHOLD) + 1
    assert len(days) > 3
    held = trace["turbulent_states"][:, 1 + STOCKS : 1 + 2 * STOCKS]
    assert not held[days + 1].any()
    assert held[days].any()


def test_a_file_is_read_as_finrl_reads_it(tmp_path: Path) -> None:
    write_market(tmp_path / "market.csv")
    own, built_in = Market.load(tmp_path / "market.csv"), Market.load()
    assert (own.stocks, own.days) == (built_in.stocks, STEPS + 1)
    assert list(own.indicators) == [INDICATOR]
    np.testing.assert_array_equal(own.prices, built_in.prices[FIRST_DAY : FIRST_DAY + STEPS + 1])
    assert own.turbulence is not None
    assert own.turbulence.max() >= THRESHOLD


# ---- rules


def buy_and_hold(environment: FinRLEnvironment, **options: Any) -> Any:
    seen = environment.reset(**options)
    yield seen
    while not seen.done:
        seen = environment.step(FinRLAction(actions=[1.0] * STOCKS))
        yield seen


def test_rewards_add_up_to_what_the_portfolio_has_gained() -> None:
    environment = FinRLEnvironment()
    first, *rest = buy_and_hold(environment)
    gained = (rest[-1].portfolio_value - first.portfolio_value) * 1e-4
    assert sum(seen.reward for seen in rest) == pytest.approx(gained)
    state = environment.state
    assert state.portfolio_value == rest[-1].portfolio_value
    assert state.total_cost > 0
    assert 0 < state.max_drawdown < 1
    assert state.sharpe is not None


def test_the_same_seed_draws_the_same_days() -> None:
    environment = FinRLEnvironment()
    dates = [environment.reset(seed=seed, days=100).date for seed in (1, 1, 2)]
    assert dates[0] == dates[1] != dates[2]
    assert len(list(buy_and_hold(environment, seed=1, days=100))) == 100


def test_cash_and_shares_are_never_negative() -> None:
    environment, random = FinRLEnvironment(initial_amount=5000.0), np.random.default_rng(3)
    seen = environment.reset(days=300)
    while not seen.done:
        seen = environment.step(FinRLAction(actions=random.uniform(-1, 1, STOCKS).tolist()))
        assert environment.state.cash >= 0
        assert min(environment.state.shares) >= 0


def test_holding_beats_trading_at_random() -> None:
    environment, random = FinRLEnvironment(initial_amount=50_000.0), np.random.default_rng(3)
    for last in buy_and_hold(environment):
        held = last.portfolio_value
    seen = environment.reset()
    while not seen.done:
        seen = environment.step(FinRLAction(actions=random.uniform(-1, 1, STOCKS).tolist()))
    assert held > seen.portfolio_value


@pytest.mark.parametrize(
    "actions", [[0.5], [2.0] * STOCKS, [float("nan")] * STOCKS, [], [float("inf")] * STOCKS]
)
def test_orders_that_make_no_sense_are_refused_and_nothing_is_traded(actions: list[float]) -> None:
    environment = FinRLEnvironment()
    environment.reset()
    with pytest.raises(ValueError, match="10 numbers from -1 to 1"):
        environment.step(FinRLAction(actions=actions))
    assert (environment.state.trades, environment.state.day) == (0, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"days": 1}, "at least 2"),
        ({"days": 100_000}, "the market has 1260"),
        ({"start": 1259}, "at least 2"),
        ({"start": -1, "days": 10}, "from day -1"),
        ({"fees": 0.1}, "no setting fees: initial_amount"),
        ({"initial_amount": 0}, "above 0"),
        ({"initial_amount": float("nan")}, "above 0"),
        ({"hmax": 0}, "at least 1"),
        ({"hmax": "100"}, "at least 1"),
        ({"hmax": 1e30}, "up to 1e9"),
        ({"reward_scaling": None}, "finite number"),
        ({"buy_cost_pct": -1}, "from 0 to 1"),
        ({"sell_cost_pct": [0.1] * 3}, "or 10 of them"),
        ({"turbulence_threshold": "high"}, "number or none"),
        ({"days": "20"}, "days must be a whole number"),
        ({"start": 1.5}, "start must be a whole number"),
    ],
)
def test_resets_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FinRLEnvironment().reset(**options)


def test_an_episode_that_is_over_takes_no_step() -> None:
    environment = FinRLEnvironment()
    list(buy_and_hold(environment, days=2))
    with pytest.raises(ValueError, match="over"):
        environment.step(FinRLAction(actions=[0.0] * STOCKS))


def test_the_portfolio_is_plotted() -> None:
    environment = FinRLEnvironment()
    list(buy_and_hold(environment, days=30))
    image = environment.render()
    assert (image.dtype, image.shape) == (np.uint8, (300, 600, 3))
    assert len(np.unique(image)) > 10


# ---- markets


def columns(**changed: Any) -> dict[str, list[Any]]:
    table = {
        "date": ["2020-01-01", "2020-01-01", "2020-01-02", "2020-01-02"],
        "tic": ["A", "B", "A", "B"],
        "close": ["1.5", "2", "3", "4"],
        "note": ["x", "y", "z", ""],
    }
    return {name: values for name, values in {**table, **changed}.items() if values is not None}


def test_a_market_without_indicators_gets_them() -> None:
    market = market_of(columns(), "file")
    assert (market.stocks, market.dates) == (["A", "B"], ["2020-01-01", "2020-01-02"])
    assert market.prices.tolist() == [[1.5, 2.0], [3.0, 4.0]]
    assert list(market.indicators) == list(INDICATORS)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"close": None}, "no column close"),
        ({"tic": ["A", "A", "A", "B"]}, "one row for each of its 2 stocks on each of its 2 days"),
        ({"close": ["1", "2", "three", "4"]}, "every close must be a number"),
        ({"close": ["1", "2", "0", "4"]}, "above 0"),
        ({"vix": ["", "20", "21", "22"]}, "every vix must be a number; that of row 1"),
        ({"date": ["9/1/2020"] * 2 + ["10/1/2020"] * 2}, "2020-01-31, not '9/1/2020'"),
    ],
)
def test_files_that_are_no_market_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        market_of(columns(**changed), "file")


def test_files_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        FinRLEnvironment(data=str(tmp_path / "missing.csv"))
    (tmp_path / "latin.csv").write_bytes(b"date,tic,close\n2020-01-01,\xe9,1\n")
    with pytest.raises(ConfigurationError, match=r"latin\.csv cannot be read"):
        FinRLEnvironment(data=str(tmp_path / "latin.csv"))
    (tmp_path / "empty.csv").write_text("date,tic,close\n")
    with pytest.raises(ConfigurationError, match="no rows"):
        FinRLEnvironment(data=str(tmp_path / "empty.csv"))
    with pytest.raises(ConfigurationError, match="no indicator vix; it has: macd"):
        FinRLEnvironment(indicators=["vix"])


def test_columns_that_nobody_uses_may_have_gaps() -> None:
    assert "volume" not in market_of(columns(volume=["", "1", "2", "3"]), "file").indicators


def test_times_of_the_day_are_kept_and_midnight_is_not_shown() -> None:
    times = ["2020-01-01T00:00:00", "2020-01-01T09:30:00"]
    market = market_of({"date": times, "tic": ["A", "A"], "close": [1.0, 2.0]}, "file")
    assert market.dates == ["2020-01-01", "2020-01-01 09:30:00"]


def test_environments_of_one_market_share_its_arrays() -> None:
    first, second = FinRLEnvironment(), FinRLEnvironment()
    assert first._rows is second._rows
    before = first.reset().state
    first.step(FinRLAction(actions=[1.0] * STOCKS))
    np.testing.assert_array_equal(second.reset().state, before)


def test_a_file_of_ones_own_is_traded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "own.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(columns())
        rows.writerows(zip(*columns().values(), strict=True))
    monkeypatch.setenv("FINRL_DATA", str(path))
    environment = FinRLEnvironment(indicators=[])
    assert environment.reset().state.tolist() == [1e6, 1.5, 2.0, 0.0, 0.0]
    assert environment.step(FinRLAction(actions=[1.0, 0.0])).reward == pytest.approx(0.0149850)


def test_a_parquet_file_is_read_like_the_same_csv(tmp_path: Path) -> None:
    write_market(tmp_path / "market.csv")
    parquet.write_table(read_csv(tmp_path / "market.csv"), tmp_path / "market.parquet")
    one, other = (Market.load(tmp_path / f"market.{kind}") for kind in ("csv", "parquet"))
    assert (one.stocks, one.dates) == (other.stocks, other.dates)
    np.testing.assert_array_equal(one.prices, other.prices)
    np.testing.assert_array_equal(one.indicators[INDICATOR], other.indicators[INDICATOR])


def test_indicators_of_a_price_that_never_moves_say_nothing_happens() -> None:
    flat = np.full((300, 2), 50.0)
    for name, make in INDICATORS.items():
        expected = 50.0 if name.startswith(("close", "boll")) else 0.0
        np.testing.assert_allclose(make(flat, flat, flat), expected, atol=1e-5)
    assert not turbulence_of(flat).any()


# ---- served


async def test_an_episode_over_a_server() -> None:
    async with serving(app) as url, FinRLEnv(base_url=url) as env, within(20):
        result = await env.reset(seed=3, days=20)
        assert result.observation.state.shape == (101,)
        for _ in range(19):
            result = await env.step(FinRLAction(actions=[1.0] * STOCKS))
        assert result.done
        with pytest.raises(EnvironmentFault, match="over"):
            await env.step(FinRLAction(actions=[1.0] * STOCKS))
        state = await env.state()
        assert (state.day - 19 >= 0, state.step_count, state.trades > 0) == (True, 19, True)
        assert state.stocks[0] == "SYN0"
