"""Every error that openenv raises, and the one table that maps them to the wire.

Knows nothing of frames, sockets or sessions. A class carries its row of the table as attributes:
wire `code`, `http_status`, `retryable` (the same call may succeed later, unchanged).

    OpenEnvError
      ProtocolError                abstract
        LocalProtocolError         you called things in the wrong order
        RemoteProtocolError        the peer sent something illegal
          Unsupported              the peer does not do this
      TransportError
        ConnectError               (also builtin ConnectionError)
        ConnectionLost             the link is gone, and its sessions with it
        RequestTimeout             (also builtin TimeoutError)
        RequestCancelled           given up before it ran
      SessionError
        NotReset                   step or state before reset, or after a timeout
        SessionNotFoundError  SessionCapacityError  SessionExpired  SessionCreationError
        TooManyRequests  ServerClosing
      PayloadError                 action, observation or option does not match its schema
        PayloadTooLarge
      EnvironmentFault             (also RuntimeError) reset/step raised
        EnvironmentFactoryError  StepTimeout  WorkerDied
      ConfigurationError
        ConcurrencyConfigurationError
      ProviderError                a server could not be started or stopped
        ImageNotFound  ProviderUnavailable
        StartupFailed  (StartupTimeout)     what was started does not answer

`to_wire` translates an exception, `from_wire` translates it back.
"""

from __future__ import annotations

from typing import Any, ClassVar


class OpenEnvError(Exception):
    """Base of every error of this package. `details` is plain data that travels with it."""

    code: ClassVar[str] = "OPENENV_ERROR"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    fields: ClassVar[tuple[str, ...]] = ()
    "Names of the constructor's data, which are also the keys of `details` on the wire."
    env_ids: tuple[int, ...] = ()
    "Which sessions of a vector have failed, if a call for many of them has raised this."

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message or type(self).__name__

    @property
    def details(self) -> dict[str, Any]:
        """The error's data that is set, by field name."""
        values = ((name, getattr(self, name)) for name in self.fields)
        return {name: value for name, value in values if value is not None}


class ProtocolError(OpenEnvError):
    """Abstract: raise one of its two children, which say whose fault it was."""

    code = "PROTOCOL_ERROR"
    http_status = 400

    def __init__(self, message: str = "") -> None:
        if type(self) is ProtocolError:
            raise TypeError("abstract: raise LocalProtocolError or RemoteProtocolError")
        super().__init__(message)


class LocalProtocolError(ProtocolError):
    """This side called things in the wrong order."""

    code = "LOCAL_PROTOCOL_ERROR"


class RemoteProtocolError(ProtocolError):
    """The peer sent something that the protocol does not allow."""


class Unsupported(RemoteProtocolError):
    """The frame is part of the protocol, but this peer or this environment does not do it."""

    code = "UNSUPPORTED"
    http_status = 501


class TransportError(OpenEnvError):
    """Something between the two sides failed."""

    code = "TRANSPORT_ERROR"
    http_status = 503


class ConnectError(TransportError, ConnectionError):
    """No connection could be made."""

    code = "CONNECT_ERROR"
    retryable = True


class ConnectionLost(TransportError, ConnectionError):
    """The link is gone for good. `resumable` says whether its sessions still live on the server."""

    code = "CONNECTION_LOST"
    fields: ClassVar[tuple[str, ...]] = ("sent", "received", "resumable")

    def __init__(
        self,
        message: str = "",
        sent: int | None = None,
        received: int | None = None,
        resumable: bool = False,
    ) -> None:
        super().__init__(message)
        self.sent = sent
        self.received = received
        self.resumable = resumable


class RequestTimeout(TransportError, TimeoutError):
    """No reply came in time. Whether it ran is unknown: the session needs reset or close."""

    code = "REQUEST_TIMEOUT"
    http_status = 504


class RequestCancelled(TransportError):
    """The request was given up by its caller."""

    code = "CANCELLED"
    http_status = 499


class SessionError(OpenEnvError):
    """A session cannot do what was asked of it."""

    code = "SESSION_ERROR"
    http_status = 409


class NotReset(SessionError):
    """Step or state before the first reset, or after a timeout: call reset first."""

    code = "NOT_RESET"


class SessionNotFoundError(SessionError):
    """No session has this name, here and now."""

    code = "SESSION_NOT_FOUND"
    http_status = 404
    fields: ClassVar[tuple[str, ...]] = ("session_id",)

    def __init__(self, session_id: str | int | None = None, message: str = "") -> None:
        super().__init__(message or f"no session {session_id!r} here: open one first")
        self.session_id = session_id


class SessionCapacityError(SessionError):
    """Every slot is taken. Ask again after `retry_after_s`, or open with a time to wait."""

    code = "CAPACITY_REACHED"
    http_status = 503
    retryable = True
    fields: ClassVar[tuple[str, ...]] = ("active_sessions", "max_sessions", "retry_after_s")

    def __init__(
        self,
        active_sessions: int | None = None,
        max_sessions: int | None = None,
        retry_after_s: float | None = None,
        message: str = "",
    ) -> None:
        taken = f"{active_sessions} of {max_sessions}"
        super().__init__(message or f"all slots are taken ({taken}): close one, or try later")
        self.active_sessions = active_sessions
        self.max_sessions = max_sessions
        self.retry_after_s = retry_after_s


class SessionExpired(SessionError):
    """The session existed and was ended by the server; `reason` says why."""

    code = "SESSION_EXPIRED"
    http_status = 404
    fields: ClassVar[tuple[str, ...]] = ("reason",)

    def __init__(self, reason: str | None = None, message: str = "") -> None:
        super().__init__(message or f"the session has ended: {reason or 'unknown reason'}")
        self.reason = reason


class SessionCreationError(SessionError):
    """A session could not be made."""

    code = "SESSION_CREATION_FAILED"
    http_status = 500
    fields: ClassVar[tuple[str, ...]] = ("reason",)

    def __init__(self, reason: str | None = None, message: str = "") -> None:
        super().__init__(message or f"the session could not be made: {reason}")
        self.reason = reason


class TooManyRequests(SessionError):
    """As many requests wait in the session as may; ask again when some are answered."""

    code = "TOO_MANY_REQUESTS"
    http_status = 429
    retryable = True


class ServerClosing(SessionError):
    """The server is shutting down and takes no new sessions."""

    code = "SERVER_CLOSING"
    http_status = 503
    retryable = True


class PayloadError(OpenEnvError):
    """An action, observation or option does not match its schema; `path` leads to the field."""

    code = "PAYLOAD_ERROR"
    http_status = 422
    fields: ClassVar[tuple[str, ...]] = ("path",)

    def __init__(self, message: str = "", path: str = "") -> None:
        super().__init__(message)
        self.path = path


class PayloadTooLarge(PayloadError):
    """More bytes than the other side takes."""

    code = "PAYLOAD_TOO_LARGE"
    http_status = 413
    fields: ClassVar[tuple[str, ...]] = ("limit_bytes",)

    def __init__(self, limit_bytes: int | None = None, message: str = "") -> None:
        super().__init__(message or f"more than the {limit_bytes} bytes that are taken")
        self.limit_bytes = limit_bytes


class EnvironmentFault(OpenEnvError, RuntimeError):
    """The environment itself raised; `remote_type` is the class name of what it raised."""

    code = "ENVIRONMENT_FAULT"
    fields: ClassVar[tuple[str, ...]] = ("remote_type", "traceback")

    def __init__(
        self, message: str = "", remote_type: str | None = None, traceback: str | None = None
    ) -> None:
        super().__init__(message)
        self.remote_type = remote_type
        self.traceback = traceback


class EnvironmentFactoryError(EnvironmentFault):
    """The environment could not be constructed."""

    code = "ENVIRONMENT_FACTORY_FAILED"
    fields: ClassVar[tuple[str, ...]] = ("factory_name", "remote_type", "traceback")

    def __init__(
        self,
        factory_name: str | None = None,
        message: str = "",
        remote_type: str | None = None,
        traceback: str | None = None,
    ) -> None:
        super().__init__(
            message or f"{factory_name} could not be constructed", remote_type, traceback
        )
        self.factory_name = factory_name


class StepTimeout(EnvironmentFault, TimeoutError):
    """The server's deadline for the call passed. The session needs reset or close."""

    code = "STEP_TIMEOUT"
    http_status = 504
    fields: ClassVar[tuple[str, ...]] = ("timeout_s",)

    def __init__(self, message: str = "", timeout_s: float | None = None) -> None:
        late = f"the environment took longer than {timeout_s} s: reset or close the session"
        super().__init__(message or late)
        self.timeout_s = timeout_s


class WorkerDied(EnvironmentFault):
    """The process that held the environment is gone, and the episode with it."""

    code = "WORKER_DIED"


class ConfigurationError(OpenEnvError, ValueError):
    """A setting makes no sense; the message says which and what to set instead."""

    code = "CONFIGURATION_ERROR"


class ConcurrencyConfigurationError(ConfigurationError):
    """More sessions were asked for than the environment class allows."""

    code = "CONCURRENCY_CONFIGURATION_ERROR"
    fields: ClassVar[tuple[str, ...]] = ("environment_name", "max_concurrent_envs")

    def __init__(
        self,
        environment_name: str | None = None,
        max_concurrent_envs: int | None = None,
        message: str = "",
    ) -> None:
        super().__init__(
            message
            or f"{environment_name} does not set SUPPORTS_CONCURRENT_SESSIONS = True, so it has no "
            f"{max_concurrent_envs} sessions at once: set it, or max_concurrent_envs=1"
        )
        self.environment_name = environment_name
        self.max_concurrent_envs = max_concurrent_envs


class ProviderError(OpenEnvError):
    """A provider could not start or stop a server."""

    code = "PROVIDER_ERROR"


class StartupFailed(ProviderError):
    """What was started has ended before it answered; `last_lines` is the end of its log."""

    code = "STARTUP_FAILED"
    fields: ClassVar[tuple[str, ...]] = ("exit_code", "out_of_memory", "last_lines")

    def __init__(
        self,
        message: str = "",
        exit_code: int | None = None,
        out_of_memory: bool | None = None,
        last_lines: str | None = None,
    ) -> None:
        super().__init__(message)
        self.exit_code, self.out_of_memory = exit_code, out_of_memory
        self.last_lines = last_lines


class StartupTimeout(StartupFailed):
    """What was started did not answer in time."""

    code = "STARTUP_TIMEOUT"


class ImageNotFound(ProviderError):
    """No such image."""

    code = "IMAGE_NOT_FOUND"


class ProviderUnavailable(ProviderError):
    """The provider cannot work here; the message says what to install or start."""

    code = "PROVIDER_UNAVAILABLE"


def _tree(root: type[OpenEnvError]) -> list[type[OpenEnvError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _tree(child))]


TABLE: dict[str, type[OpenEnvError]] = {
    cls.code: cls for cls in _tree(OpenEnvError) if cls is not ProtocolError
}
"Wire code -> class. RemoteProtocolError inherits the code of its abstract parent."


def to_wire(error: OpenEnvError) -> tuple[str, str, bool, dict[str, Any] | None]:
    """Return (code, message, retryable, details) of an error frame."""
    return error.code, str(error), error.retryable, error.details or None


def from_wire(code: str, message: str, details: dict[str, Any] | None = None) -> OpenEnvError:
    """Rebuild the exception of an error frame; of a later version's code, a plain OpenEnvError."""
    cls = TABLE.get(code)
    if cls is None:
        return OpenEnvError(f"{message} (code: {code})")
    known = {name: value for name, value in (details or {}).items() if name in cls.fields}
    return cls(message=message, **known)
