"""The running installation as a wheel, for places that cannot get it from an index.

An image or a virtual environment is to hold the same openenv as the one that made it. The wheel is
put together from the files that run, so neither a network nor a build backend is needed, and the
same files are the same bytes: container engines find them in their caches.
"""

from __future__ import annotations

import base64
import hashlib
import os
import sys
import zipfile
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import TYPE_CHECKING

from openenv.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGE = Path(__file__).parent
_FORMER_NAME = "openenv_core"
_FORMER_HOME = _PACKAGE / "core" / "_openenv_core"
"Where the package of the former name lies in a checkout; setup.py maps it."
_LEFT_OUT = (_FORMER_HOME, _PACKAGE / "webui" / "source")
"No part of the package: what is mapped elsewhere, and what the page is built from."

_DATE = (2020, 1, 1, 0, 0, 0)
_MODE = 0o644 << 16
_DEFLATED = zipfile.ZIP_DEFLATED
_KEPT_METADATA = ("METADATA", "entry_points.txt")

_WHEEL = "Wheel-Version: 1.0\nGenerator: openenv\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def write_wheel(folder: Path) -> Path:
    """Write a wheel of the running openenv into a folder and return its path.

    Raises ConfigurationError if openenv runs without being installed.
    """
    distribution = _own_distribution()
    stem = f"openenv-{distribution.version}"
    files = {**dict(_code()), **_metadata(distribution, f"{stem}.dist-info")}
    record = f"{stem}.dist-info/RECORD"
    lines = [f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in files.items()]
    files[record] = "".join((*lines, f"{record},,\n")).encode()
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", _DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.external_attr = _MODE
            archive.writestr(entry, data, _DEFLATED)
    return path


def _own_distribution() -> Distribution:
    """Return what says of itself that it is openenv, and was installed.

    A checkout on sys.path may hold the leavings of a build, which say so too.
    """
    for distribution in distributions(name="openenv"):
        # The other package of this name is below 1, and its files are not these.
        if distribution.read_text("RECORD") and not distribution.version.startswith("0."):
            return distribution
    raise ConfigurationError(
        f"openenv runs from {_PACKAGE} without being installed, so there is no wheel to give to "
        f"others: {sys.executable} -m pip install -e {_PACKAGE.parent}"
    )


def _code() -> Iterator[tuple[str, bytes]]:
    """Yield the files of the packages that run, by their names in a wheel."""
    former = _FORMER_HOME if _FORMER_HOME.is_dir() else _PACKAGE.parent / _FORMER_NAME
    for package, home in (("openenv", _PACKAGE), (_FORMER_NAME, former)):
        for file in sorted(_files_below(home)):
            yield f"{package}/{file.relative_to(home).as_posix()}", file.read_bytes()


def _files_below(home: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(home):
        here = Path(folder)
        folders[:] = [
            name for name in folders if name != "__pycache__" and here / name not in _LEFT_OUT
        ]
        yield from (here / name for name in files)


def _metadata(distribution: Distribution, home: str) -> dict[str, bytes]:
    """Return the files that describe the distribution, without those of its installation."""
    files = {f"{home}/WHEEL": _WHEEL.encode()}
    for name in _KEPT_METADATA:
        text = distribution.read_text(name)
        if text:
            files[f"{home}/{name}"] = text.encode()
    for file in distribution.files or ():
        if "licenses" in file.parts:
            files[f"{home}/licenses/{file.name}"] = Path(str(file.locate())).read_bytes()
    return dict(sorted(files.items()))


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
