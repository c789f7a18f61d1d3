"""Recipe: what an environment's image is made of: Dockerfile, build context, tags and labels.

The context is a copy of the environment's folder (or of its repository, if the Dockerfile copies
from there) with the wheel of the running openenv in `wheels/`, so that the image holds the same
openenv. Does not run the build: see docker_build.py.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from openenv.errors import ConfigurationError
from openenv.manifest import Manifest, read_manifest
from openenv.wheel import write_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator


DOCKERFILES = ("server/Dockerfile", "Dockerfile")
WHEELS = "wheels"
LABEL_ENVIRONMENT = "openenv.environment"
LABEL_VERSION = "openenv.version"

_LEFT_OUT = (
    *(".git", ".venv", "__pycache__", "node_modules"),
    *(".mypy_cache", ".pytest_cache", ".ruff_cache"),
)
_TAG = re.compile(r"[a-z0-9]+([._/:-]+[A-Za-z0-9]+)*")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All inputs of a build. Paths are absolute."""

    manifest: Manifest
    context: Path
    dockerfile: Path
    tags: Sequence[str]
    build_args: Mapping[str, str] = field(default_factory=dict)
    platform: str | None = None
    uses_cache: bool = True

    @property
    def labels(self) -> dict[str, str]:
        """The image's labels: the environment's name and description, and openenv's version."""
        manifest = self.manifest
        described = {
            "title": manifest.name,
            "version": manifest.version,
            "description": manifest.description,
        }
        return {
            LABEL_ENVIRONMENT: manifest.name,
            LABEL_VERSION: version("openenv"),
            **{f"org.opencontainers.image.{key}": text for key, text in described.items() if text},
        }


def plan_image(
    folder: Path,
    *,
    tags: Sequence[str] = (),
    context: Path | None = None,
    dockerfile: Path | None = None,
    build_args: Sequence[str] = (),
    platform: str | None = None,
    uses_cache: bool = True,
) -> Recipe:
    """Return the recipe of an environment's image, with defaults for what is not given.

    Builds nothing. `build_args` have the form NAME=VALUE. Raises ConfigurationError.
    """
    manifest = read_manifest(folder)
    home = folder.resolve()
    dockerfile_path = _dockerfile(home, manifest, dockerfile)
    arguments = dict(map(_argument, build_args))
    repository = repository_of(home)
    declared = set(
        re.findall(r"(?im)^\s*ARG\s+(\w+)", dockerfile_path.read_text("utf-8", "replace"))
    )
    for name, value in (
        ("BUILD_MODE", "standalone" if repository is None else "in-repo"),
        ("ENV_NAME", home.name),
    ):
        # Dockerfiles of existing environments declare these arguments.
        if name in declared:
            arguments.setdefault(name, value)
    if context is None:
        copies_more = repository is not None and _copies_from(repository, home, dockerfile_path)
        context = repository if copies_more and repository is not None else home
    elif not context.is_dir():
        raise ConfigurationError(f"the context {context} is no folder")
    return Recipe(
        manifest=manifest,
        context=context.resolve(),
        dockerfile=dockerfile_path,
        tags=tuple(map(_tag, tags)) or manifest.images,
        build_args=arguments,
        platform=platform,
        uses_cache=uses_cache,
    )


def repository_of(folder: Path) -> Path | None:
    """Return the repository that holds a folder in `envs` or `src/envs`; None if there is none."""
    if folder.parent.name != "envs":
        return None
    above = (folder.parent.parent, folder.parent.parent.parent)
    return next((parent for parent in above if (parent / ".git").exists()), None)


@contextmanager
def staged(recipe: Recipe, left_out: Sequence[str] = ()) -> Iterator[tuple[Path, Path]]:
    """Yield a copy of the context with the wheel in it, and the Dockerfile; then remove it.

    Names that match `left_out` are not copied at all, rather than removed later: if this process is
    killed, nothing removes the copy. Raises ConfigurationError if a file cannot be copied.
    """
    ignored = shutil.ignore_patterns(*_LEFT_OUT, *left_out)
    with TemporaryDirectory(prefix="openenv-build-") as temporary:
        context = Path(temporary) / "context"
        try:
            shutil.copytree(recipe.context, context, symlinks=True, ignore=ignored)
        except shutil.Error as error:
            why = "; ".join(reason for _, _, reason in error.args[0])
            raise ConfigurationError(f"{recipe.context} cannot be copied: {why}") from error
        wheels = context / WHEELS
        wheels.mkdir(exist_ok=True)
        for old in wheels.glob("openenv-*.whl"):
            old.unlink()
        write_wheel(wheels)
        if recipe.dockerfile.is_relative_to(recipe.context):
            dockerfile = context / recipe.dockerfile.relative_to(recipe.context)
        else:
            dockerfile = Path(temporary) / "Dockerfile"
            shutil.copyfile(recipe.dockerfile, dockerfile)
        for ignoring in (context / ".dockerignore", Path(f"{dockerfile}.dockerignore")):
            if ignoring.is_file():
                text = ignoring.read_text("utf-8")
                # The build needs the wheels, even if the environment's .dockerignore excludes them.
                ignoring.write_text(f"{text}\n!{WHEELS}\n!{WHEELS}/*.whl\n", "utf-8")
        yield context, dockerfile


def _dockerfile(folder: Path, manifest: Manifest, given: Path | None) -> Path:
    if given is not None:
        if not given.is_file():
            raise ConfigurationError(f"there is no Dockerfile {given}")
        return given.resolve()
    if manifest.dockerfile is not None:
        named = folder / manifest.dockerfile
        if not named.is_file():
            place = manifest.place("server.dockerfile")
            raise ConfigurationError(f"{place}: there is no {manifest.dockerfile}")
        return named
    for name in DOCKERFILES:
        if (folder / name).is_file():
            return folder / name
    raise ConfigurationError(
        f"{folder} has no Dockerfile, neither {' nor '.join(DOCKERFILES)}: write one, or take that "
        "of a new environment (openenv init)"
    )


def _copies_from(repository: Path, folder: Path, dockerfile: Path) -> bool:
    """Whether the Dockerfile copies paths that exist only relative to the repository's root."""
    for line in dockerfile.read_text("utf-8", "replace").splitlines():
        words = line.split()
        if not words or words[0].upper() not in ("COPY", "ADD") or "--from=" in line:
            continue
        for source in words[1:-1]:
            is_path = not source.startswith("--") and not re.search(r"[*?$\[]|://", source)
            source = source.lstrip("/")
            if is_path and not (folder / source).exists() and (repository / source).exists():
                return True
    return False


def _argument(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise ConfigurationError(f"--build-arg {shlex.quote(text)} is not of the form NAME=VALUE")
    return name, value


def _tag(text: str) -> str:
    if not _TAG.fullmatch(text):
        raise ConfigurationError(
            f"{text!r} is no name of an image, such as my-env:1.0: it begins with small letters"
        )
    return text
