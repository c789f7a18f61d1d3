"""COMPATIBILITY ONLY: see openenv.rubrics.judge."""

from openenv.rubrics.judge import LLMJudge

__all__ = ["LLMJudge"]
