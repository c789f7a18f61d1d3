"""Spaces of Hugging Face that hold environments: publishes, copies, downloads and lists them.

A Space is a git repository with a README whose front matter says how to run it. Does not choose a
Space's files (cli/space_files.py) or connect to its server (providers/space.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from openenv.errors import ConfigurationError
from openenv.hub.discovery import LocalEnvironment
from openenv.manifest import MANIFEST
from openenv.providers.hub_api import endpoint, hub_api, space_id

if TYPE_CHECKING:
    from openenv.manifest import Manifest

README = "README.md"
TAG = "openenv"
"The tag of Spaces with environments, by which they are found."
INTERFACE = "/web"
"The path at which a Space shows its environment's page."
INTERFACE_VARIABLE = "ENABLE_WEB_INTERFACE"
"The variable that tells an environment's server to show its page."
END_OF_MATTER = "\n---\n"

_DASHES = "---\n"


@dataclass(frozen=True, kw_only=True)
class Publication:
    """What to publish: a Space's files and settings."""

    space: str
    files: Mapping[str, Path | bytes]
    "Path in the Space -> a file or its content. All other files of the Space are removed."
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_private: bool | None = None
    hardware: str | None = None
    message: str = "Publish with openenv"


@dataclass(frozen=True)
class Published:
    """What was published."""

    url: str
    commit: str
    is_new: bool
    pull_request: str | None = None


def publish(what: Publication, token: str | None = None, *, as_request: bool = False) -> Published:
    """Create a Space, or update that of an environment, with all files in one commit.

    `as_request` opens a pull request instead, on a Space that exists. Raises ConfigurationError if
    the Space exists and is not that of an environment.
    """
    with hub_api(what.space, token) as api:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete  # noqa: PLC0415

        before = _files_of(api, what.space)
        if before is None and as_request:
            raise ConfigurationError(f"there is no Space {what.space} to make a pull request on")
        if before is not None and MANIFEST not in before:
            raise ConfigurationError(
                f"there is a Space {what.space} already, and it holds no environment: choose "
                "another name with --repo-id"
            )
        if before is None:
            _create(api, what)
        elif not as_request:
            _configure(api, what)
        gone = set(before or ()) - what.files.keys() - {".gitattributes"}
        operations = [
            *(CommitOperationDelete(path) for path in sorted(gone)),
            *(
                CommitOperationAdd(path, content if isinstance(content, bytes) else str(content))
                for path, content in sorted(what.files.items())
            ),
        ]
        commit = api.create_commit(
            what.space,
            operations,
            commit_message=what.message,
            repo_type="space",
            create_pr=as_request,
        )
    url = f"{endpoint()}/spaces/{what.space}"
    return Published(url, commit.oid, before is None, commit.pr_url)


def owner(token: str | None = None) -> str:
    """Return the name of the user who is logged in. Raises ProviderUnavailable."""
    with hub_api(token=token) as api:
        return str(api.whoami()["name"])


def fork(
    source: str,
    target: str | None,
    token: str | None = None,
    *,
    is_private: bool | None = None,
    variables: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    hardware: str | None = None,
) -> str:
    """Copy a Space, under its own name if there is no `target`, and return the copy's URL.

    Raises ConfigurationError if there is no such Space, or if the copy's name is taken.
    """
    name = space_id(source)
    if name is None:
        raise ConfigurationError(f"{source!r} is no id of a Space, such as org/name")
    with hub_api(name, token) as api:
        copy = target or f"{api.whoami()['name']}/{name.partition('/')[2]}"
        if _files_of(api, copy) is not None:
            raise ConfigurationError(
                f"there is a Space {copy} already: choose another name with --repo-id"
            )
        made = api.duplicate_repo(
            name,
            copy,
            repo_type="space",
            private=is_private,
            space_hardware=hardware,
            space_variables=_pairs(variables),
            space_secrets=_pairs(secrets),
        )
    return str(made)


def commit_of(space: str, revision: str | None = None, token: str | None = None) -> str:
    """Return the newest commit of a Space, or the commit of a branch or tag.

    Raises ConfigurationError if there is no such Space.
    """
    with hub_api(space, token) as api:
        return str(api.space_info(space, revision=revision).sha)


def download(space: str, commit: str, token: str | None = None) -> LocalEnvironment:
    """Download a Space's files as of a commit into this user's cache of the hub.

    Takes a commit, not a branch: when the hub does not answer, huggingface_hub would return an old
    download of the branch. Raises ConfigurationError if the Space holds no environment.
    """
    with hub_api(space, token) as api:
        folder = Path(api.snapshot_download(space, repo_type="space", revision=commit))
    if not (folder / MANIFEST).is_file():
        raise ConfigurationError(f"the Space {space} is no environment: it holds no {MANIFEST}")
    return LocalEnvironment(folder, "space", distribution=f"{space} {commit}")


def list_spaces(search: str | None = None, limit: int = 50) -> list[dict[str, Any]]:
    """Return the Spaces with the tag of environments, the most liked first."""
    with hub_api() as api:
        found = api.list_spaces(filter=TAG, search=search, limit=limit, sort="likes")
        return [
            {"space": one.id, "likes": one.likes, "url": f"{endpoint()}/spaces/{one.id}"}
            for one in found
        ]


def with_front_matter(readme: str, manifest: Manifest, *, has_interface: bool = True) -> str:
    """Return a README with the front matter of a Space; settings that it has already are kept.

    Raises ConfigurationError if its front matter cannot be read.
    """
    own, text = _front_matter(readme)
    title = manifest.stem.replace("-", " ").capitalize()
    usual = {
        "title": f"{title} environment",
        "emoji": "🎮",
        "colorFrom": "blue",
        "colorTo": "green",
        "sdk": "docker",
        "pinned": False,
        "app_port": manifest.port,
    }
    if manifest.description:
        usual["short_description"] = manifest.description[:60]
    if has_interface:
        usual["base_path"] = INTERFACE
    merged = {**usual, **own}
    if merged["sdk"] != "docker":
        raise ConfigurationError(f"{README}: sdk is {merged['sdk']}, but must be docker")
    merged["tags"] = list(dict.fromkeys([*(own.get("tags") or ()), TAG]))
    written = yaml.safe_dump(merged, sort_keys=False, allow_unicode=True)
    return f"{_DASHES}{written}{_DASHES}{text}"


def _front_matter(readme: str) -> tuple[dict[str, Any], str]:
    if not readme.startswith(_DASHES):
        return {}, f"\n{readme.lstrip()}"
    head, found, text = readme.removeprefix(_DASHES).partition(f"\n{_DASHES}")
    try:
        own = yaml.safe_load(head) if found else None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{README}: its front matter is no YAML: {error}") from error
    if not isinstance(own, dict):
        raise ConfigurationError(
            f"{README}: what is between the lines of --- must be keys and values"
        )
    return own, text


def _files_of(api: Any, space: str) -> list[str] | None:
    """Return the files of a Space; None if there is no such Space."""
    from huggingface_hub.errors import RepositoryNotFoundError  # noqa: PLC0415 - see hub_api.py

    try:
        return [one.rfilename for one in api.space_info(space).siblings or ()]
    except RepositoryNotFoundError:
        return None


def _create(api: Any, what: Publication) -> None:
    api.create_repo(
        what.space,
        repo_type="space",
        space_sdk="docker",
        private=what.is_private,
        space_hardware=what.hardware,
        space_variables=_pairs(what.variables),
        space_secrets=_pairs(what.secrets),
    )


def _configure(api: Any, what: Publication) -> None:
    """Apply the publication's settings to a Space that exists."""
    for name, value in what.variables.items():
        api.add_space_variable(what.space, name, value)
    for name, value in what.secrets.items():
        api.add_space_secret(what.space, name, value)
    if what.hardware is not None:
        api.request_space_hardware(what.space, what.hardware)
    if what.is_private is not None:
        api.update_repo_settings(what.space, private=what.is_private, repo_type="space")


def _pairs(values: Mapping[str, str] | None) -> list[dict[str, str]] | None:
    return [{"key": name, "value": value} for name, value in (values or {}).items()] or None
