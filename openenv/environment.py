"""Environment: the one class that an environment's author writes, and the contract it keeps.

Knows nothing of servers, wires or threads: server/runners/ calls it, server/sessions/session.py
orders the calls.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal

from openenv.errors import ConfigurationError
from openenv.models import ActT, EnvironmentInfo, Observation, ObsT, State, StateT

if TYPE_CHECKING:
    from collections.abc import Iterable

Execution = Literal["inline", "thread", "process"]


class RunningEpisode:
    """Which episode runs, and how many of its steps have returned.

    Made anew for each episode and counted by whatever calls the environment: the only counter.
    """

    __slots__ = ("episode_id", "step_count")

    def __init__(self, episode_id: str | None = None) -> None:
        self.episode_id = episode_id
        self.step_count = 0


class _EpisodeField:
    """Reads a field of the running episode.

    No data descriptor: an environment that sets an attribute of this name gets its own back.
    """

    def __set_name__(self, _: type, name: str) -> None:
        self._name = name

    def __get__(self, environment: Environment[Any, Any, Any] | None, _: type) -> Any:
        return self if environment is None else getattr(environment._episode, self._name)


class Environment(Generic[ActT, ObsT, StateT]):
    """One episode at a time: `reset`, then `step` until the observation says `done` or `truncated`.

    Each session has an instance of its own. Its methods are never called at the same time, and all
    of them, the constructor and `close` too, run on one and the same thread. Each of `reset`,
    `step`, `state` and `close` may be `async def`: then that one runs on the server's event loop
    and must not block it, and the constructor runs where `reset` does. `step` may also be a
    generator (or an async one): its values before the last are partial observations, sent to
    clients that stream.

    `super().__init__()` is not needed. Nothing here is abstract but `reset` and `step`.
    """

    SUPPORTS_CONCURRENT_SESSIONS: ClassVar[bool] = False
    "True if several instances may live in one process at once."

    execution: ClassVar[Execution] = "thread"
    """Where the synchronous methods run.

    "thread" (one of its own per session; may block), "inline" (on the event loop: an order of
    magnitude faster, for environments whose step takes microseconds and never blocks), or "process"
    (in one of the server's worker processes, which has many sessions and runs one call at a time:
    for environments that compute).
    """

    transform: Any = None
    "Called with each observation by `_apply_transform`; None leaves it as it is."

    rubric: Any = None
    "Scores a step in `_apply_rubric`: a Rubric, or a function of both; None scores nothing."

    _episode: RunningEpisode = RunningEpisode()
    "The running episode, given by whatever calls the environment; this one is nobody's."

    if TYPE_CHECKING:
        # As attributes, so that a subclass may set its own.
        episode_id: str | None
        step_count: int
    else:
        episode_id = _EpisodeField()
        "The id of the running episode, in `reset` already; None before the first."
        step_count = _EpisodeField()
        "How many steps of the running episode have returned."

    def __init__(self, transform: Any = None, rubric: Any = None) -> None:
        """Set what is given; None leaves what the class says."""
        if transform is not None:
            self.transform = transform
        if rubric is not None:
            self.rubric = rubric

    def reset(self, *args: Any, **options: Any) -> Any:
        """Begin an episode and return its first observation.

        The arguments are `seed=None, episode_id=None, **options`: declare what is used. The same
        seed begins the same episode.
        """
        raise NotImplementedError(f"{type(self).__name__} must define reset()")

    def step(self, *args: Any, **options: Any) -> Any:
        """Apply one action and return what is observed: `step(action, timeout_s=None)`.

        After `done`, what a step means is the environment's choice.
        """
        raise NotImplementedError(f"{type(self).__name__} must define step()")

    @property
    def state(self) -> StateT:
        """The episode's state; a subclass may make it a property, a method or a coroutine function.

        By default the episode's id, and the number of steps since reset.
        """
        return State(episode_id=self.episode_id, step_count=self.step_count)  # type: ignore[return-value]  # the default of StateT

    def close(self) -> None:
        """Free what the instance holds. Called once, whatever happened before."""

    def get_metadata(self) -> EnvironmentInfo:
        """Describe the environment."""
        name = type(self).__name__
        return EnvironmentInfo(name=name, description=f"{name} environment")

    def _apply_transform(self, observation: ObsT) -> ObsT:
        return observation if self.transform is None else self.transform(observation)

    def _apply_rubric(self, action: ActT, observation: ObsT) -> float:
        """Return the reward of a step; what parts of the rubric gave goes into the metadata.

        Raises ConfigurationError for an async rubric: await `_apply_rubric_async`.
        """
        if self.rubric is None:
            return 0.0
        _forget_scores(self.rubric)
        score = self.rubric(action, observation)
        if inspect.isawaitable(score):
            if hasattr(score, "close"):
                score.close()  # nobody will await it
            raise ConfigurationError("the rubric is async: await _apply_rubric_async in its place")
        return _noted(self.rubric, observation, score)

    async def _apply_rubric_async(self, action: ActT, observation: ObsT) -> float:
        """Do the same for an async `step`, and keep what is not async off the event loop."""
        if self.rubric is None:
            return 0.0
        _forget_scores(self.rubric)
        score = await asyncio.to_thread(self.rubric, action, observation)
        if inspect.isawaitable(score):
            score = await score
        return _noted(self.rubric, observation, score)

    def _reset_rubric(self) -> None:
        # A plain function is a rubric, too, and remembers nothing.
        if hasattr(self.rubric, "reset"):
            self.rubric.reset()

    async def _reset_rubric_async(self) -> None:
        self._reset_rubric()


def _parts(rubric: Any) -> Iterable[tuple[str, Any]]:
    # A plain function is a rubric, too, and has none.
    return rubric.named_rubrics() if hasattr(rubric, "named_rubrics") else ()


def _forget_scores(rubric: Any) -> None:
    """Forget what parts of a rubric gave for an earlier step: not all are asked for each."""
    for _, part in _parts(rubric):
        part.last_score = None


def _noted(rubric: Any, observation: Any, score: float) -> float:
    """Return a score; put those of the rubric's parts into the observation's metadata."""
    scores = {
        f"rubric.{path}": part.last_score
        for path, part in _parts(rubric)
        if part.last_score is not None
    }
    if scores and isinstance(observation, dict):
        observation["metadata"] = {**(observation.get("metadata") or {}), **scores}
    elif scores and hasattr(observation, "metadata"):
        observation.metadata = {**(observation.metadata or {}), **scores}
    return float(score)


class Transform(Generic[ObsT]):
    """A callable from observation to observation, for `Environment.transform`."""

    def __call__(self, observation: ObsT) -> ObsT:
        """Return the observation to send in place of the given one."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__()")


class NullTransform(Transform[ObsT]):
    """Leaves every observation as it is."""

    def __call__(self, observation: ObsT) -> ObsT:
        """Return the observation."""
        return observation


class CompositeTransform(Transform[Observation]):
    """Applies several transforms, first to last."""

    def __init__(self, transforms: list[Transform[Observation]]) -> None:
        self.transforms = transforms

    def __call__(self, observation: Observation) -> Observation:
        """Return the observation after every transform."""
        for transform in self.transforms:
            observation = transform(observation)
        return observation
