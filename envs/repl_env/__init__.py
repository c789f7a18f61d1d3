"""The REPL environment: a long context as a variable, Python, and calls of a language model."""

from .client import REPLEnv
from .models import CodeBlockResult, REPLAction, REPLObservation, REPLState

__all__ = ["CodeBlockResult", "REPLAction", "REPLEnv", "REPLObservation", "REPLState"]
