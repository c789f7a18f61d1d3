"""Plays FinRL's own StockTradingEnv; runs in a virtual environment that has it, not in ours.

`python finrl_reference.py MARKET.csv TRACE.npz`: trades 500 random days, once without a threshold
of turbulence and once with one, and writes what was done, held and gained. Only the one file of
FinRL is loaded, since its package needs accounts of brokers.
"""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np

STEPS, SEED, THRESHOLD = 500, 7, 25.0
CASH, HMAX = 30_000.0, 100


def trading_env() -> Any:
    """Return the class."""
    [finrl] = importlib.util.find_spec("finrl").submodule_search_locations  # type: ignore[union-attr]
    path = Path(finrl, "meta/env_stock_trading/env_stocktrading.py")
    spec = importlib.util.spec_from_file_location("env_stocktrading", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.StockTradingEnv


def play(market: Any, actions: Any, threshold: float | None) -> dict[str, Any]:
    """Return the arrays of one run."""
    stocks = market.tic.nunique()
    indicators = [name for name in market if name not in ("date", "tic", "close", "turbulence")]
    env = trading_env()(
        df=market,
        stock_dim=stocks,
        hmax=HMAX,
        initial_amount=CASH,
        num_stock_shares=[0] * stocks,
        buy_cost_pct=[0.001] * stocks,
        sell_cost_pct=[0.002] * stocks,
        reward_scaling=1e-4,
        state_space=1 + (2 + len(indicators)) * stocks,
        action_space=stocks,
        tech_indicator_list=indicators,
        turbulence_threshold=threshold,
    )
    states, rewards = [list(env.reset()[0])], []
    for action in actions:
        state, reward, *_ = env.step(action)
        states.append(list(state))
        rewards.append(reward)
    return {"states": np.array(states), "rewards": np.array(rewards)}


def main(source: str, out: str) -> None:
    """Play both runs."""
    import pandas as pd  # noqa: PLC0415 - the tests, which have none, import the numbers above

    market = pd.read_csv(source).sort_values(["date", "tic"])
    market.index = market.date.factorize()[0]
    actions = np.random.default_rng(SEED).uniform(-1, 1, (STEPS, market.tic.nunique()))
    arrays = {"actions": actions}
    for name, threshold in (("calm", None), ("turbulent", THRESHOLD)):
        for key, array in play(market, actions, threshold).items():
            arrays[f"{name}_{key}"] = array
    np.savez_compressed(out, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
