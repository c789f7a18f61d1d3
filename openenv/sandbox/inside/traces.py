"""An exception as text, with the frames of the user's code alone."""

from __future__ import annotations

import os
import traceback


def format_error(error: BaseException, folder: str) -> str:
    """Return what Python would print, without frames of Python, of packages and of the sandbox."""
    try:
        # Local variables, and the frames that hold them, may be what there is no memory for.
        described = traceback.TracebackException(type(error), error, error.__traceback__)
        _reduce(described, folder, seen=set())
        return "".join(described.format())
    except Exception:  # noqa: BLE001 - an exception class may be made so that it cannot be shown
        return f"{type(error).__name__}\n"


def _reduce(described: traceback.TracebackException | None, folder: str, seen: set[int]) -> None:
    """Reduce the frames of an exception, and of all that it came from or consists of."""
    if described is None or id(described) in seen:
        return
    seen.add(id(described))
    frames = [frame for frame in described.stack if _is_users(frame.filename, folder)]
    # Without any, there is no heading either: syntax errors say themselves where they are.
    described.stack = traceback.StackSummary.from_list(frames) if frames else None  # type: ignore[assignment]
    for other in (described.__cause__, described.__context__, *(described.exceptions or ())):
        _reduce(other, folder, seen)


def _is_users(filename: str, folder: str) -> bool:
    return filename.startswith(("<snippet ", "<string>", folder + os.sep))
