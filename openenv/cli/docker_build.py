"""`docker build`: chooses the docker executable, runs a build, reports progress, and cancels it.

Does not know what an image is made of (images.py) or what the output means (build_log.py).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openenv.cli.build_log import BuildLog
from openenv.cli.images import staged
from openenv.errors import ProviderError, ProviderUnavailable
from openenv.providers import lifeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from openenv.cli.build_log import BuildEvent
    from openenv.cli.images import Recipe

ANSWER_TIMEOUT_S = 15.0
CANCEL_TIMEOUT_S = 10.0
LAST_LINES = 20

_PLACES = ("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin")
"Folders searched for docker besides PATH: the first docker found may lack BuildKit."


@dataclass(frozen=True)
class Builder:
    """An executable `docker`, and whether it can build with BuildKit."""

    path: str
    has_buildkit: bool


@dataclass(frozen=True)
class Image:
    """A built image."""

    id: str
    tags: tuple[str, ...]
    size_bytes: int


def find_builder() -> Builder:
    """Return the first docker that builds with BuildKit, or else the first docker.

    Raises ProviderUnavailable if there is none, or no daemon answers it.
    """
    paths = _executables()
    if not paths:
        raise ProviderUnavailable(
            "there is no docker command here: install Docker Engine or Docker Desktop"
        )
    _check_daemon(paths[0])
    for path in paths:
        if _has_buildkit(path):
            return Builder(path, has_buildkit=True)
    return Builder(paths[0], has_buildkit=False)


def build_image(
    recipe: Recipe, builder: Builder, show: Callable[[BuildEvent], None] = lambda _: None
) -> Image:
    """Build an image and return it; `show` is called with each event.

    All temporary files are removed, also after KeyboardInterrupt, which cancels the build. Raises
    ProviderError with the failing step and its last lines.
    """
    with staged(recipe) as (context, dockerfile):
        id_file = context.parent / "image-id"
        command = [*_command(recipe, builder, dockerfile), f"--iidfile={id_file}", str(context)]
        log = BuildLog()
        with _running(command, builder, context.parent) as process:
            assert process.stdout is not None
            for line in process.stdout:
                for event in log.feed(line.rstrip("\n")):
                    show(event)
            status = process.wait()
        if status != 0:
            raise ProviderError(_failure(recipe, log, status))
        identity = id_file.read_text("utf-8").strip()
    size = _ask(builder.path, "image", "inspect", "--format", "{{.Size}}", identity)
    return Image(identity, tuple(recipe.tags), int(size.stdout))


def _command(recipe: Recipe, builder: Builder, dockerfile: Path) -> list[str]:
    command = [builder.path, "build", f"--file={dockerfile}"]
    # The legacy builder runs each step in a container; --force-rm removes that of a failed step.
    command += ["--progress=plain"] if builder.has_buildkit else ["--force-rm"]
    command += [f"--tag={tag}" for tag in recipe.tags]
    command += [f"--label={name}={value}" for name, value in recipe.labels.items()]
    command += [f"--build-arg={name}={value}" for name, value in recipe.build_args.items()]
    if recipe.platform:
        command.append(f"--platform={recipe.platform}")
    if not recipe.uses_cache:
        command.append("--no-cache")
    return command


@contextmanager
def _running(command: list[str], builder: Builder, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a build during the block; cancel it if it still runs after it, or if this process dies.

    `folder` holds the build's files. The lifeline removes it if the build fails or is cancelled.
    """
    below = (sys.executable, "-I", lifeline.__file__, str(CANCEL_TIMEOUT_S), str(folder), "keeps")
    with subprocess.Popen(
        [*below, *command],
        env=os.environ | {"DOCKER_BUILDKIT": "1" if builder.has_buildkit else "0"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # A session of its own, so that Ctrl-C reaches only this process. `_cancel` then ends docker
        # through the lifeline, and docker cancels the build in the daemon.
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                _cancel(process)


def _cancel(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    # Closing its stdin tells the lifeline to end the build. None, because `communicate` would
    # flush the closed pipe.
    process.stdin.close()
    process.stdin = None
    try:
        # Read the rest of the output: docker would block on a full pipe and not exit.
        process.communicate(timeout=CANCEL_TIMEOUT_S + 5)
    except subprocess.TimeoutExpired:
        process.kill()


def _failure(recipe: Recipe, log: BuildLog, status: int) -> str:
    step, lines = log.failure()
    what = f"the image of {recipe.manifest.name} could not be built"
    where = f" ({recipe.dockerfile.name}: {step})" if step else ""
    told = "\n".join(f"  {line}" for line in lines[-LAST_LINES:])
    return f"{what}{where}\n{told}" if told else f"{what}{where}: docker ended with {status}"


# ---- finding docker


def _executables() -> list[str]:
    folders = [*os.environ.get("PATH", "").split(os.pathsep), *_PLACES]
    paths = (shutil.which("docker", path=folder) for folder in folders if folder)
    return list(dict.fromkeys(path for path in paths if path))


def _check_daemon(docker: str) -> None:
    """Raise ProviderUnavailable, with docker's message, if the daemon does not answer."""
    try:
        answer = _ask(docker, "version", "--format", "{{json .Server}}")
    except subprocess.TimeoutExpired:
        why = f"no answer within {ANSWER_TIMEOUT_S:.0f} s"
    else:
        if answer.returncode == 0 and answer.stdout.strip() not in ("", "null", "<nil>"):
            return
        why = (answer.stderr.strip() or "no answer").splitlines()[-1]
    raise ProviderUnavailable(
        f"no Docker daemon answers: {why}\nStart it (Docker Desktop, or: systemctl start docker), "
        "or set DOCKER_HOST to where it is"
    )


def _has_buildkit(docker: str) -> bool:
    """Whether this docker builds with BuildKit: with the plugin buildx, or built in before 23."""
    try:
        if _ask(docker, "buildx", "version").returncode == 0:
            return True
        client: Any = json.loads(_ask(docker, "version", "--format", "{{json .Client}}").stdout)
    except (subprocess.TimeoutExpired, ValueError, OSError):
        return False
    digits = re.match(r"(\d+)\.(\d+)", str(client.get("Version", "")))
    return digits is not None and (18, 9) <= (int(digits[1]), int(digits[2])) < (23, 0)


def _ask(docker: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [docker, *arguments], capture_output=True, text=True, timeout=ANSWER_TIMEOUT_S
    )
