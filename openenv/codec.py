"""Payload classes: from a user's class to encoder, decoder and JSON schema, and back.

Owns which classes can be payloads (dataclass, `msgspec.Struct`, TypedDict, dict, pydantic model)
and how what lifting.py has taken out of an observation is put back. Knows nothing of frames.
pydantic models are recognised by their own methods, so that pydantic is never imported here.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from openenv import arrays
from openenv.errors import ConfigurationError, PayloadError
from openenv.lifting import LIFTED, Columns, column_lifter, field_names, lifter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openenv.arrays import Encoding

_PATH = re.compile(r" - at `\$(.*)`$")

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"What msgspec raises for bytes that are no payload; the last two for text and nesting alone."


T = TypeVar("T")


class LiftedFields(Protocol):
    """What travels beside a payload; a result frame has these too."""

    @property
    def reward(self) -> bool | int | float | None:
        """The step's reward."""

    @property
    def done(self) -> bool:
        """Whether the episode has ended by its own rules."""

    @property
    def truncated(self) -> bool:
        """Whether it was ended from outside."""

    @property
    def metadata(self) -> dict[str, Any] | None:
        """What else there is to say."""


class Codec:
    """Encodes and decodes one payload class.

    Made once per class by `codec_for`; immutable afterwards.
    """

    def __init__(self, cls: Any) -> None:
        self.cls = cls
        self.is_generic = cls in (None, dict, Any, object)
        self.is_pydantic = hasattr(cls, "model_validate")
        wire_type = Any if self.is_generic or self.is_pydantic else cls
        try:
            self._decoders: dict[str, Any] = {
                "msgpack": msgspec.msgpack.Decoder(
                    wire_type, dec_hook=arrays.dec_hook, ext_hook=arrays.decode_ext
                ),
                "json": msgspec.json.Decoder(wire_type, dec_hook=arrays.dec_hook),
            }
        except (TypeError, NameError) as error:
            raise ConfigurationError(f"{_name(cls)} cannot be a payload class: {error}") from error
        self._column: Any = None
        "Decodes many payloads at once, in MessagePack; made when it is first needed."
        self._fields = () if wire_type is Any else field_names(cls)
        self._lifted = frozenset(LIFTED).intersection(self._fields)
        self._can_put_back = (
            not self.is_generic and not self.is_pydantic and _takes_assignment(cls, self._lifted)
        )

    def decode(self, raw: Any, encoding: Encoding) -> Any:
        """Return an instance of the class.

        Raises PayloadError with the path to the offending field.
        """
        if self.is_pydantic:
            return self._validate(decode_any(raw, encoding))
        if self.is_generic:
            value = decode_any(raw, encoding)
            if not isinstance(value, dict) and self.cls is not Any:
                raise PayloadError(f"expected an object, got {type(value).__name__}")
            return value
        # A field of no particular type may hold an array, which only the slow way recognises.
        if encoding == "msgpack" or not _holds_array(raw):
            try:
                return self._decoders[encoding].decode(raw)
            except _UNREADABLE as error:
                if encoding == "msgpack":
                    raise _payload_error(error) from error
        return self._convert_json(decode_any(raw, encoding))

    def convert(self, value: Any) -> Any:
        """Return an instance of the class made of plain data (dicts, lists, numbers).

        Raises PayloadError.
        """
        if self.is_pydantic:
            return self._validate(value)
        if self.is_generic:
            return value
        try:
            return msgspec.convert(value, self.cls, str_keys=True, dec_hook=arrays.dec_hook)
        except msgspec.ValidationError as error:
            raise _payload_error(error) from error

    def decoder(self, encoding: Encoding) -> Callable[[Any], Any] | None:
        """Return the short way of `decode`; where it raises, ask `decode`.

        None if there is none: in JSON, where arrays and non-finite numbers need a second look, and
        for classes that msgspec does not decode.
        """
        if encoding == "json" or self.is_pydantic or self.is_generic:
            return None
        return self._decoders[encoding].decode  # type: ignore[no-any-return]

    def decode_column(self, raw: Any, encoding: Encoding) -> list[Any] | None:
        """Return many instances, at once. None if that cannot be: then `decode` each."""
        if encoding == "json" or self.is_pydantic or self.is_generic:
            return None
        if self._column is None:
            self._column = msgspec.msgpack.Decoder(
                list[self.cls],  # type: ignore[name-defined]
                dec_hook=arrays.dec_hook,
                ext_hook=arrays.decode_ext,
            )
        try:
            return self._column.decode(raw)  # type: ignore[no-any-return]
        except (*_UNREADABLE, PayloadError):
            return None

    def restore_column(self, raw: Any, encoding: Encoding, lifted: Columns) -> list[Any] | None:
        """Return many observations, at once. None if that cannot be: then `restore` each."""
        observations = self.decode_column(raw, encoding) if self._can_put_back else None
        if observations is None or len(observations) != len(lifted.rewards):
            return None
        present = self._lifted
        if "reward" in present:
            for observation, reward in zip(observations, lifted.rewards, strict=True):
                if reward is not None:
                    observation.reward = reward
        for name, values in zip(LIFTED[1:], lifted[2:], strict=True):
            if name in present and values is not None and any(values):
                for observation, value in zip(observations, values, strict=True):
                    if value:
                        setattr(observation, name, value)
        return observations

    def lifter(self, observation: Any, build: Callable[..., T]) -> Callable[[int, Any], T]:
        """Return a function that makes a frame of an id and an observation like this one.

        It calls `build(id, payload, reward, done, truncated, metadata)`. Raises TypeError if the
        observation is not of the codec's class, or, later, if a reward is no number.
        """
        self._check_type(observation)
        return lifter(type(observation), build)

    def column_lifter(self, observation: Any) -> Callable[[Sequence[Any]], Columns]:
        """Return a function that takes many observations like this one apart, column by column.

        Raises TypeError like `lifter`.
        """
        self._check_type(observation)
        return column_lifter(type(observation))

    def restore(self, raw: Any, encoding: Encoding, lifted: LiftedFields) -> Any:
        """Return the observation of the class from its payload and what travelled beside it."""
        if not self._can_put_back or (encoding == "json" and _holds_array(raw)):
            return self._restore_from_dict(raw, encoding, lifted)
        try:
            observation = self._decoders[encoding].decode(raw)
        except _UNREADABLE:
            # The slow way also understands non-finite numbers in JSON, and finds the path for the
            # error.
            return self._restore_from_dict(raw, encoding, lifted)
        present = self._lifted
        if lifted.reward is not None and "reward" in present:
            observation.reward = lifted.reward
        if lifted.done and "done" in present:
            observation.done = True
        if lifted.truncated and "truncated" in present:
            observation.truncated = True
        if lifted.metadata and "metadata" in present:
            observation.metadata = lifted.metadata
        return observation

    def declared_lifted(self, lifted: LiftedFields) -> dict[str, Any]:
        """Return what of the lifted fields the class declares and this observation has."""
        values = ((name, getattr(lifted, name)) for name in self._lifted)
        return {name: value for name, value in values if value is not None}

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON schema of the class.

        An object schema on top, what it refers to under `$defs`.
        """
        if self.is_generic:
            return {"type": "object"}
        if self.is_pydantic:
            return dict(self.cls.model_json_schema())
        schema = msgspec.json.schema(self.cls, schema_hook=_schema_hook)
        if "$ref" in schema:
            reference, definitions = schema["$ref"], schema["$defs"]
            name = reference.rsplit("/", 1)[1]
            schema = {**definitions[name], "$defs": definitions}
            if repr(reference) not in repr(definitions):
                # Nothing else refers to it, as a class that contains itself does.
                del definitions[name]
            if not definitions:
                del schema["$defs"]
        return schema

    def _restore_from_dict(self, raw: Any, encoding: Encoding, lifted: LiftedFields) -> Any:
        value = decode_any(raw, encoding)
        if self.cls is Any or self.cls is None or not isinstance(value, dict):
            return value
        value.update(self.declared_lifted(lifted))
        return self._convert_json(value) if encoding == "json" else self.convert(value)

    def _convert_json(self, value: Any) -> Any:
        """Do what `convert` does, to what was JSON: its numbers may be spelled "NaN"."""
        try:
            return self.convert(value)
        except PayloadError as error:
            try:
                return self.convert(_with_non_finite(value))
            except RecursionError:
                raise error from None

    def _check_type(self, observation: Any) -> None:
        if self.cls is dict and not isinstance(observation, dict):
            raise TypeError(f"returned {_article(observation)}, not a dict")
        if (
            not self.is_generic
            and isinstance(self.cls, type)
            and not isinstance(observation, self.cls)
        ):
            raise TypeError(f"returned {_article(observation)}, not {_name(self.cls)}")
        if observation is None:
            raise TypeError("returned None, not an observation")

    def _validate(self, value: Any) -> Any:
        try:
            return self.cls.model_validate(value)
        except ValueError as error:  # pydantic.ValidationError is one
            first = (
                error.errors()[0] if hasattr(error, "errors") else {"loc": (), "msg": str(error)}
            )
            path = "".join(
                f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]
            )
            raise PayloadError(f"{first['msg']} - at `${path}`", path=path) from error


_JSON_KEY = arrays.JSON_KEY.encode()
_GENERIC: dict[str, Any] = {
    "msgpack": msgspec.msgpack.Decoder(ext_hook=arrays.decode_ext),
    "json": msgspec.json.Decoder(),
}
_codecs: dict[Any, Codec] = {}


def codec_for(cls: Any) -> Codec:
    """Return the codec of a class; None, dict and Any take whatever comes, a codec is its own."""
    if isinstance(cls, Codec):
        return cls
    try:
        return _codecs[cls]
    except KeyError:
        codec = _codecs[cls] = Codec(cls)
        return codec


def decode_any(raw: Any, encoding: Encoding) -> Any:
    """Decode a payload without a class: dicts, lists, numbers, arrays. Raises PayloadError."""
    try:
        value = _GENERIC[encoding].decode(raw)
        return arrays.restore(value) if encoding == "json" and _holds_array(raw) else value
    except _UNREADABLE as error:
        raise _payload_error(error) from error


def plain(value: Any) -> Any:
    """Return a payload as plain data.

    Dicts, lists, numbers, strings; arrays and buffers as they are.
    """
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return value


def _schema_hook(field_type: Any) -> dict[str, Any]:
    """Return the schema of what msgspec does not know: anything, unless it is an array."""
    try:
        return arrays.schema_hook(field_type)
    except NotImplementedError:
        return {"title": _name(field_type)}


def _takes_assignment(cls: Any, names: frozenset[str]) -> bool:
    """Whether instances can be decoded without the named fields and have them set afterwards."""
    if hasattr(cls, "__struct_config__"):
        required = {field.name for field in msgspec.structs.fields(cls) if field.required}
        return not cls.__struct_config__.frozen and required.isdisjoint(names)
    if dataclasses.is_dataclass(cls):
        missing = dataclasses.MISSING
        required = {
            f.name
            for f in dataclasses.fields(cls)
            if f.default is missing and f.default_factory is missing
        }
        return not vars(cls)["__dataclass_params__"].frozen and required.isdisjoint(names)
    return False


def _holds_array(raw: Any) -> bool:
    """Whether JSON may hold an array: a search costs less than a walk through every payload."""
    return arrays.JSON_KEY in raw if isinstance(raw, str) else _JSON_KEY in bytes(raw)


def _with_non_finite(value: Any) -> Any:
    if isinstance(value, str):
        return arrays.NON_FINITE.get(value, value)
    if isinstance(value, dict):
        return {key: _with_non_finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_non_finite(item) for item in value]
    return value


def _payload_error(error: Exception) -> PayloadError:
    match = _PATH.search(str(error))
    return PayloadError(str(error), path=match.group(1) if match else "")


def _name(cls: Any) -> str:
    return getattr(cls, "__name__", None) or str(cls)


def _article(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
