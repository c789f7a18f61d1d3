"""Batch: steps many sessions from one Steps frame, without a frame and a reply for each session.

Sessions that cannot step at once, because they run elsewhere, are busy or need a reset, are left to
the caller, which steps them singly. Knows nothing of the link that the frame came from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openenv.errors import OpenEnvError
from openenv.protocol.frames import Results, Steps
from openenv.protocol.server import error_frame
from openenv.server.sessions.session import NOT_STEPPED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openenv.arrays import Encoding
    from openenv.server.runners.spec import EnvironmentSpec
    from openenv.server.sessions.session import Session


def step_at_once(
    spec: EnvironmentSpec,
    sessions: Mapping[int, Session],
    frame: Steps,
    encoding: Encoding,
    reply: Callable[[Any], None],
) -> list[int]:
    """Step the sessions that can be stepped now, and reply; return the positions of the others."""
    actions = spec.replies.decode_actions(frame, encoding) if spec.convention.is_plain else None
    if actions is None or not len(frame.ids) == len(frame.sessions) == len(actions):
        return list(range(len(frame.ids)))
    outcomes: list[Any] = []
    for session, action in zip(map(sessions.get, frame.sessions), actions, strict=True):
        try:
            outcomes.append(NOT_STEPPED if session is None else session.step_now(action))
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - the boundary to the user's environment
            outcomes.append(_Failed(spec.replies.fault(error)))
    classes = set(map(type, outcomes))
    if len(classes) == 1 and not classes & _NO_OBSERVATIONS:
        _reply(spec, frame.ids, outcomes, reply)
        return []
    return _sort(spec, frame.ids, outcomes, reply)


def _sort(
    spec: EnvironmentSpec, ids: list[int], outcomes: list[Any], reply: Callable[[Any], None]
) -> list[int]:
    """Reply to steps that failed or whose observations differ in class.

    Returns the positions of the sessions that could not step now.
    """
    others = []
    by_class: dict[type, tuple[list[int], list[Any]]] = {}
    for position, (request_id, outcome) in enumerate(zip(ids, outcomes, strict=True)):
        if outcome is NOT_STEPPED:
            others.append(position)
        elif isinstance(outcome, _Failed):
            reply(error_frame(request_id, outcome.error))
        else:
            group = by_class.setdefault(type(outcome), ([], []))
            group[0].append(request_id)
            group[1].append(outcome)
    for group in by_class.values():
        _reply(spec, *group, reply)
    return others


def _reply(
    spec: EnvironmentSpec, ids: list[int], observations: list[Any], reply: Callable[[Any], None]
) -> None:
    """Reply with observations of one class: in one frame, or singly if one of them is invalid."""
    columns = spec.replies.columns(observations)
    if columns is not None:
        reply(Results(ids, *columns))
        return
    for request_id, observation in zip(ids, observations, strict=True):
        try:
            reply(spec.replies.result(request_id, observation))
        except OpenEnvError as error:
            reply(error_frame(request_id, error))
        except Exception as error:  # noqa: BLE001 - a payload is a user's object
            reply(error_frame(request_id, spec.replies.fault(error)))


class _Failed:
    """Replaces the observation of a step that raised."""

    __slots__ = ("error",)

    def __init__(self, error: OpenEnvError) -> None:
        self.error = error


_NO_OBSERVATIONS = {type(NOT_STEPPED), _Failed}
