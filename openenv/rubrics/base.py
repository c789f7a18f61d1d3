"""Rubric: scores an action by what was observed after it; may be made of other rubrics.

A score is a float, or an awaitable of one if something in the tree is async: `then` is how that is
passed on. Knows nothing of environments; environment.py calls a rubric, containers.py combines
several.
"""

from __future__ import annotations

import inspect
from collections.abc import (
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from typing import Any, ClassVar, TypeAlias

from openenv.errors import ConfigurationError

Score: TypeAlias = float | Awaitable[float]
Hook: TypeAlias = Callable[..., Any]


class Rubric:
    """Subclass it and define `forward`. Attributes that are rubrics become its children.

    `super().__init__()` is not needed.
    """

    STATE: ClassVar[tuple[str, ...]] = ()
    "The attributes that `state_dict` holds."

    last_score: float | None = None
    "What it gave last; None before that, and if the last step of an environment did not need it."

    def forward(self, action: Any, observation: Any) -> Score:
        """Return what the action is worth; may be `async def`."""
        raise NotImplementedError(f"{type(self).__name__} must define forward()")

    def __call__(self, action: Any, observation: Any) -> Score:
        """Return the score, between the hooks: a float, or an awaitable if something is async."""
        score: Score = then(
            _call_each(self._pre_hooks, self, action, observation),
            lambda _: then(
                self.forward(action, observation),
                lambda score: self._finish(action, observation, score),
            ),
        )
        return score

    def reset(self) -> None:
        """Begin an episode: forget what belongs to the last one, in the whole tree."""
        for child in self.children():
            child.reset()

    # ---- hooks

    def register_forward_pre_hook(self, hook: Hook) -> None:
        """Call `hook(rubric, action, observation)`, async or not, before each score."""
        self._pre_hooks = (*self._pre_hooks, hook)

    def register_forward_hook(self, hook: Hook) -> None:
        """Call `hook(rubric, action, observation, score)`, async or not, after each score."""
        self._hooks = (*self._hooks, hook)

    _pre_hooks: tuple[Hook, ...] = ()
    _hooks: tuple[Hook, ...] = ()

    def _finish(self, action: Any, observation: Any, score: float) -> Any:
        if score is None:
            raise TypeError(f"{type(self).__name__}.forward returned None: it must return a score")
        self.last_score = score
        return then(_call_each(self._hooks, self, action, observation, score), lambda _: score)

    # ---- the tree

    def children(self) -> Iterator[Rubric]:
        """Yield the rubrics that this one is directly made of."""
        for _, child in self.named_children():
            yield child

    def named_children(self) -> Iterator[tuple[str, Rubric]]:
        """Yield them with their names, in the order in which they were assigned."""
        for name, value in vars(self).items():
            if isinstance(value, Rubric):
                yield name, value

    def rubrics(self) -> Iterator[Rubric]:
        """Yield all rubrics below this one, a parent before its children."""
        for _, rubric in self.named_rubrics():
            yield rubric

    def named_rubrics(self, prefix: str = "") -> Iterator[tuple[str, Rubric]]:
        """Yield them with their paths: `style.length` is `length`, a child of the child `style`."""
        for name, child in self.named_children():
            path = f"{prefix}.{name}" if prefix else name
            yield path, child
            yield from child.named_rubrics(path)

    def get_rubric(self, path: str) -> Rubric:
        """Return the rubric at a path. Raises KeyError."""
        rubric = self
        for name in path.split(".") if path else ():
            children = dict(rubric.named_children())
            if name not in children:
                there = ", ".join(children) or "none"
                raise KeyError(f"no rubric {path!r}: {name!r} is not one of: {there}")
            rubric = children[name]
        return rubric

    # ---- its state

    def state_dict(self) -> dict[str, Any]:
        """Return what is set in the tree, plain data by path: `style.weights`."""
        state = {name: getattr(self, name) for name in self.STATE}
        for name, child in self.named_children():
            state |= {f"{name}.{key}": value for key, value in child.state_dict().items()}
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set what `state_dict` returned. Raises ConfigurationError, and sets nothing, else."""
        known = self.state_dict()
        if unknown := [key for key in state if key not in known]:
            raise ConfigurationError(
                f"{type(self).__name__} has no {', '.join(unknown)}; it has: "
                f"{', '.join(known) or 'nothing that can be set'}"
            )
        try:
            self._set(state)
        except Exception:
            self._set(known)
            raise

    def _set(self, state: Mapping[str, Any]) -> None:
        for key, value in state.items():
            path, _, name = key.rpartition(".")
            setattr(self.get_rubric(path), name, value)


def then(outcome: Any, call: Callable[[Any], Any]) -> Any:
    """Return `call` of an outcome: at once, or as an awaitable if the outcome is one."""
    return _Continuation(outcome, call) if inspect.isawaitable(outcome) else call(outcome)


def discard(outcome: Any) -> None:
    """Close an outcome that nobody will await: Python warns of a coroutine else."""
    if hasattr(outcome, "close"):
        outcome.close()


class _Continuation(Coroutine[Any, Any, Any]):
    """Awaits an outcome, and then what is called with it.

    Unlike that of an `async def`, closing it before it has begun closes the outcome, too.
    """

    def __init__(self, outcome: Awaitable[Any], call: Callable[[Any], Any]) -> None:
        self._outcome = outcome
        self._call = call
        self._begun: Coroutine[Any, Any, Any] | None = None

    def send(self, value: Any) -> Any:
        return self._begin().send(value)

    def throw(self, *error: Any) -> Any:
        if self._begun is None:
            discard(self._outcome)
        return self._begin().throw(*error)

    def close(self) -> None:
        discard(self._begun or self._outcome)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._begin().__await__()

    def _begin(self) -> Coroutine[Any, Any, Any]:
        if self._begun is None:
            self._begun = self._run()
        return self._begun

    async def _run(self) -> Any:
        result = self._call(await self._outcome)
        return await result if inspect.isawaitable(result) else result


def _call_each(hooks: Iterable[Hook], *arguments: Any) -> Any:
    """Call hooks one after the other."""
    waiting = iter(hooks)

    def call_next(_: Any) -> Any:
        for hook in waiting:
            outcome = hook(*arguments)
            if inspect.isawaitable(outcome):
                return then(outcome, call_next)
        return None

    return call_next(None)
