"""finrl_env: trading several stocks, with the state, actions and rewards of FinRL."""

from .client import FinRLEnv
from .models import FinRLAction, FinRLObservation, FinRLState

__all__ = ["FinRLAction", "FinRLEnv", "FinRLObservation", "FinRLState"]
