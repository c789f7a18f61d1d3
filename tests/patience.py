"""How long tests wait for what must happen: the one multiplier of all their deadlines.

OPENENV_TEST_PATIENCE is a number, 1 by default; on a busy machine, 4 gives every deadline that only
ends a hopeless wait four times its length. A deadline that a test is about is not multiplied.
"""

import asyncio
import os

PATIENCE = float(os.environ.get("OPENENV_TEST_PATIENCE", "1"))


def patient(seconds: float) -> float:
    """Return how long to wait on this machine for what takes less than so long on a quiet one."""
    return seconds * PATIENCE


def within(seconds: float) -> asyncio.Timeout:
    """Raise TimeoutError in the block after so long, on a quiet machine."""
    return asyncio.timeout(patient(seconds))
