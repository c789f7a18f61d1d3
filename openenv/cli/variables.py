"""NAME=VALUE on the command line; a NAME alone takes its value from this process's environment."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from openenv.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence


def read_variables(option: str, given: Sequence[str] | None) -> dict[str, str]:
    """Return the variables of an option that may be repeated. Raises ConfigurationError."""
    variables = {}
    for text in given or ():
        name, sign, value = text.partition("=")
        if not re.fullmatch(r"[A-Za-z_][\w.-]*", name, re.ASCII):
            raise ConfigurationError(f"{option} {name}: variables are given as NAME=VALUE")
        setting = value if sign else os.environ.get(name)
        if setting is None:
            raise ConfigurationError(f"{option} {name}: it is not set here, so write {name}=VALUE")
        variables[name] = setting
    return variables
