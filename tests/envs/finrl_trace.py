"""Makes finrl_trace.npz: what FinRL's own class does on the synthetic market.

`python -m tests.envs.finrl_trace PYTHON`, where PYTHON is that of a virtual environment with FinRL:
`pip install finrl==0.3.7 --no-deps`, and gymnasium, matplotlib, pandas and stable-baselines3.
"""

import csv
import subprocess
import sys
import tempfile
from pathlib import Path

from envs.finrl_env.server.market import Market
from tests.envs.finrl_reference import STEPS

HERE = Path(__file__).parent
TRACE = HERE / "finrl_trace.npz"
INDICATOR = "rsi_30"
"Of one indicator the trace holds all that can differ."
FIRST_DAY = 400
"From here on there is turbulence."


def write_market(path: Path) -> None:
    """Write the days of the trace as FinRL reads them."""
    market = Market.load()
    assert market.turbulence is not None
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["date", "tic", "close", INDICATOR, "turbulence"])
        for day in range(FIRST_DAY, FIRST_DAY + STEPS + 1):
            for column, tic in enumerate(market.stocks):
                value = market.indicators[INDICATOR][day, column]
                close, turbulence = market.prices[day, column], market.turbulence[day]
                numbers = (repr(float(number)) for number in (close, value, turbulence))
                rows.writerow([market.dates[day], tic, *numbers])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "market.csv")
        write_market(source)
        reference = HERE / "finrl_reference.py"
        subprocess.run([sys.argv[1], str(reference), str(source), str(TRACE)], check=True)
