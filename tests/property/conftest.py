"""How hypothesis runs here: without time limits, since others may use the machine too."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "openenv",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    # What a random run finds under CI is no fault of the change that is being checked.
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("openenv")
