"""The hub of Hugging Face: its API, the meaning of its errors, and the names of Spaces.

Imports huggingface_hub late, because it belongs to the extra `hub`. That library reads HF_ENDPOINT,
HF_TOKEN and the login of `hf auth login` by itself. space.py and hub/ use this file.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from openenv.errors import ConfigurationError, ProviderError, ProviderUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

HUB = "https://huggingface.co"
LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def endpoint() -> str:
    """Return the hub's URL."""
    return os.environ.get("HF_ENDPOINT", HUB).rstrip("/")


def space_id(text: str) -> str | None:
    """Return the id `org/name` from an id or the URL of a Space's page; None if it is neither."""
    for page in (f"{endpoint()}/spaces/", f"{HUB}/spaces/", "hf://spaces/"):
        text = text.removeprefix(page)
    return text if _ID.fullmatch(text) else None


def space_image(space: str) -> str:
    """Return the name of a Space's image in the hub's registry."""
    return f"registry.hf.space/{re.sub(r'[^a-z0-9]+', '-', space.lower())}:latest"


def space_git(space: str) -> str:
    """Return the URL of a Space's repository, as pip writes it."""
    return f"git+{endpoint()}/spaces/{space}"


@contextmanager
def hub_api(space: str = "", token: str | None = None) -> Iterator[Any]:
    """Yield a huggingface_hub.HfApi; its errors inside the block become ours, about `space`.

    Raises ProviderUnavailable without huggingface_hub or without a login where one is needed;
    ConfigurationError if there is no such Space, ProviderError for all else.
    """
    try:
        from huggingface_hub import HfApi  # noqa: PLC0415 - it belongs to the extra `hub`
        from huggingface_hub import errors as refusals  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ProviderUnavailable(
            f"Spaces of Hugging Face need {error.name}: pip install 'openenv[hub]'"
        ) from error
    # The base of all errors of the HTTP library that this version of huggingface_hub uses.
    http_error: type[Exception] = refusals.HfHubHTTPError.__bases__[0]
    api = HfApi(endpoint(), token=token, library_name="openenv", library_version=version("openenv"))
    try:
        yield api
    except refusals.HFValidationError as error:
        raise ConfigurationError(f"{space!r} is no id of a Space, such as org/name") from error
    except refusals.RepositoryNotFoundError as error:
        raise ConfigurationError(
            f"there is no Space {space} on {endpoint()}, or it is private and not for you: is the "
            f"name right? For a private one, {LOG_IN}"
        ) from error
    except refusals.LocalTokenNotFoundError as error:
        raise ProviderUnavailable(f"this needs a login on {endpoint()}: {LOG_IN}") from error
    except refusals.HfHubHTTPError as error:
        raise _refusal(error) from error
    except (http_error, ConnectionError) as error:
        raise ProviderError(
            f"{endpoint()} cannot be reached ({error}): is there a network?"
        ) from error


def _refusal(error: Any) -> ProviderError:
    reason = str(error.server_message or error).strip().splitlines()[0]
    status = error.response.status_code
    if status == 401:
        return ProviderUnavailable(f"{endpoint()} does not know who you are ({reason}): {LOG_IN}")
    if status == 403:
        return ProviderError(f"{endpoint()} forbids it: {reason} (may your token write?)")
    return ProviderError(f"{endpoint()} refuses ({status}): {reason}")
