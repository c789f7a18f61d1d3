"""Consent: asks the user at the terminal, at every call, whether code from elsewhere may run here.

Without a terminal the answer is no. Does not know what the code is; auto.py asks.
"""

from __future__ import annotations

import os
import sys

from openenv.errors import ConfigurationError

VARIABLE = "OPENENV_TRUST_REMOTE_CODE"


def ask_for_consent(what: str, *, is_trusted: bool = False, otherwise: str = "") -> None:
    """Return if `what`, code from elsewhere, may run here. Raises ConfigurationError if not.

    `otherwise` tells the user what is possible without that code.
    """
    if is_trusted or os.environ.get(VARIABLE, "").lower() in ("1", "true", "yes", "on"):
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigurationError(
            f"{what} would be code from elsewhere, run on this machine with your rights, and there "
            f"is no terminal to ask at. If you trust it, pass trust_remote_code=True or set "
            f"{VARIABLE}=1{otherwise and f'; {otherwise}'}"
        )
    sys.stderr.write(
        f"{what} is code from elsewhere. It would run on this machine, with your rights.\n"
        "Run it? [y/N] "
    )
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ConfigurationError(f"{what} was not run, as you have not agreed")
