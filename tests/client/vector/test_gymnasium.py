"""A vector of sessions does what Gymnasium's own vector does in this process, value by value."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from openenv.app import create_app
from openenv.client.pool import connect
from tests.gymnasium_environment import CartPole, CartPoleEnv, TellingCartPole, make_cart_pole
from tests.serving import serving

COUNT, STEPS, SEED = 4, 300, 42


@contextmanager
def local(mode: AutoresetMode, **options: Any) -> Iterator[Any]:
    vector: Any = SyncVectorEnv(
        [lambda: make_cart_pole(**options) for _ in range(COUNT)], autoreset_mode=mode
    )
    try:
        yield vector
    finally:
        vector.close()


def check_equal(ours: Any, theirs: Any) -> None:
    """The same values of the same types, in the same structure."""
    assert type(ours) is type(theirs)
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            check_equal(ours[key], value)
    elif isinstance(theirs, tuple | list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            check_equal(one, other)
    elif isinstance(theirs, np.ndarray) and theirs.dtype == object:
        assert ours.dtype == object
        check_equal(list(ours), list(theirs))
    elif isinstance(theirs, np.ndarray):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        assert (ours == theirs).all()
    else:
        assert ours == theirs


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("telling", [False, True], ids=["plain", "telling"])
async def test_every_step_is_that_of_gymnasium(mode: AutoresetMode, telling: bool) -> None:
    environment = TellingCartPole if telling else CartPole
    options = {"telling": True, "max_steps": 20} if telling else {}
    rng = np.random.default_rng(SEED)
    ended = 0
    async with (
        serving(create_app(environment)) as url,
        connect(url) as pool,
        pool.vector(COUNT, CartPoleEnv, autoreset_mode=mode) as ours,
    ):
        with local(mode, **options) as theirs:
            check_equal(await ours.reset(seed=SEED), theirs.reset(seed=SEED))
            for _ in range(STEPS):
                actions = rng.integers(0, 2, COUNT)
                step = theirs.step(actions)
                check_equal(await ours.step(actions), step)
                over = step[2] | step[3]
                ended += over.sum()
                if mode is AutoresetMode.DISABLED and over.any():
                    again = {"reset_mask": over}
                    check_equal(await ours.reset(options=again), theirs.reset(options=dict(again)))
    assert ended > 10
