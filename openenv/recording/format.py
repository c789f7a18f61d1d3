"""The format of recordings, version 1: what a line holds, how it is written and read back.

A recording is UTF-8 text, one JSON object (an `Episode`) per line, in the order in which the
episodes ended. Where a key is absent its value is the default of the field below; readers ignore
keys that they do not know. Arrays are in their JSON form (`openenv.arrays`); a number that is not
finite is one of the strings "NaN", "Infinity" and "-Infinity". docs/reference/recording.md has the
same in prose. lines.py says how lines lie in a file, recorder.py when they are written.
"""

from __future__ import annotations

import math
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from openenv import arrays
from openenv.codec import codec_for
from openenv.errors import PayloadError
from openenv.models import Reward
from openenv.protocol.wire import JSON
from openenv.recording.lines import read_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from os import PathLike

VERSION = 1

Ended = Literal["done", "truncated", "max_turns", "failed"]
"""Why an episode ended: by the task's rules, from outside (both said by the environment), because
the run allows no more turns, or by an error."""

_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class Turn(msgspec.Struct, omit_defaults=True, gc=False):
    """One step: what the policy saw, what it did, and what came of it."""

    observation: Any
    action: Any
    reward: Reward
    done: bool
    truncated: bool
    metadata: dict[str, Any] = {}
    prompt_token_ids: list[int] | None = None
    "The tokens that a language model read. This and the next three come from `Completion`."
    completion_token_ids: list[int] | None = None
    "The tokens that it wrote."
    logprobs: list[float] | None = None
    "The natural logarithm of the probability of each written token."
    loss_mask: list[int] | None = None
    "1 for each written token that training should use, else 0."
    latency_s: float | None = None
    "How long the step took, as the client saw it."
    policy_s: float | None = None
    "How long the policy took to choose the action, including the wait for its earlier calls."


class Cause(msgspec.Struct, omit_defaults=True):
    """Why an episode failed."""

    code: str
    "The wire code of the error, or POLICY_FAILED."
    message: str
    type: str = ""
    "The class of the exception that the environment or the policy raised."


class Episode(msgspec.Struct, omit_defaults=True):
    """One episode, from reset to its end: one line of a recording."""

    version: int
    episode: int
    "Its number in the run, from 0."
    episode_id: str
    turns: list[Turn]
    return_: float = msgspec.field(name="return")
    "The sum of the rewards."
    length: int
    "The number of turns."
    ended: Ended
    seed: int | None = None
    "The seed that reset was given."
    final_observation: Any = None
    "The observation of the last step, or of reset if there was no step."
    error: Cause | None = None
    "Set if and only if `ended` is failed."
    attempts: int = 1
    "How often it was started. It is started again if the environment fails or the session is lost."
    reset_latency_s: float | None = None
    "How long the last reset took, as the client saw it."


_decoder = msgspec.json.Decoder(type=dict[str, Any])


def encode(episode: Episode) -> bytes:
    """Return the episode as one line, with its newline. Raises PayloadError."""
    try:
        episode = _without_lifted(episode)
        line = _encoder.encode(episode)
        if b"null" in line:
            # msgspec writes null for a number that is not finite; the wire has strings for these.
            line = str(JSON.encode(msgspec.to_builtins(episode, enc_hook=_enc_hook))).encode()
    except TypeError as error:
        raise PayloadError(
            f"episode {episode.episode} holds what cannot be recorded: {error}"
        ) from error
    return line + b"\n"


def read(path: str | PathLike[str]) -> Iterator[Episode]:
    """Yield the episodes of a recording in the order in which they ended.

    An incomplete last line is skipped, with a warning in the log. Observations and actions are
    plain data; their arrays are arrays again. Raises PayloadError for a line that is no episode,
    and ConfigurationError if the file is compressed and zstandard is missing.
    """
    for number, line in enumerate(read_lines(path), 1):
        yield decode(line, f"{path}:{number}")


def decode(line: bytes, where: str = "the line") -> Episode:
    """Return the episode of a line; `where` names it in errors. Raises PayloadError."""
    try:
        data = _decoder.decode(line)
        version = data.get("version")
        if version != VERSION:
            raise PayloadError(
                f"{where} has the version {version!r}; this release of openenv reads {VERSION}"
            )
        for item in (data, *data["turns"]):
            for name in ("return", "reward"):
                if isinstance(item.get(name), str):
                    item[name] = _NON_FINITE[item[name]]
        return msgspec.convert(_with_arrays(data, where) if _ARRAY in line else data, Episode)
    except (
        msgspec.DecodeError,
        UnicodeDecodeError,
        LookupError,
        AttributeError,
        TypeError,
    ) as error:
        raise PayloadError(f"{where} is no recorded episode: {error}") from error


def _without_lifted(episode: Episode) -> Episode:
    """Return the episode with its observations in the form of the wire, without step fields.

    Typed observations may declare reward, done and so on; the turn has these fields already.
    """
    if not _is_typed(episode.final_observation):
        return episode
    turns = [
        Turn(_payload(turn.observation), *msgspec.structs.astuple(turn)[1:])
        for turn in episode.turns
    ]
    final = _payload(episode.final_observation)
    return msgspec.structs.replace(episode, turns=turns, final_observation=final)


def _is_typed(observation: Any) -> bool:
    cls = type(observation)
    return is_dataclass(cls) or hasattr(cls, "__struct_fields__") or hasattr(cls, "model_dump")


def _payload(observation: Any) -> Any:
    cls = type(observation)
    lifter = _payload_by_type.get(cls)
    if lifter is None:
        lifter = codec_for(cls).lifter(observation, lambda _, payload, *__: payload)
        _payload_by_type[cls] = lifter
    return lifter(0, observation)


def _enc_hook(value: Any) -> Any:
    return value.model_dump() if hasattr(value, "model_dump") else arrays.enc_hook_json(value)


def _with_arrays(data: dict[str, Any], where: str) -> Any:
    try:
        return arrays.restore(data)
    except PayloadError as error:
        raise PayloadError(f"{where} is no recorded episode: {error}") from error


_payload_by_type: dict[type, Callable[[int, Any], Any]] = {}
_ARRAY = arrays.JSON_KEY.encode()
_encoder = msgspec.json.Encoder(enc_hook=_enc_hook)
