"""The running installation as a wheel: complete, the same bytes each time, and installable."""

import subprocess
import sys
import zipfile
from email.parser import Parser
from importlib.metadata import Distribution
from pathlib import Path

import pytest

import openenv
from openenv import wheel
from openenv.errors import ConfigurationError
from openenv.wheel import write_wheel

ROOT = Path(__file__).parents[1]


def test_it_holds_every_file_of_the_packages_and_nothing_else(tmp_path: Path) -> None:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", "openenv"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    expected = {
        path.replace("openenv/core/_openenv_core/", "openenv_core/")
        for path in listed.split()
        # What the page is built from is not what is served.
        if (ROOT / path).is_file() and not path.startswith("openenv/webui/source/")
    }
    names = zipfile.ZipFile(write_wheel(tmp_path)).namelist()
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert len(names) == len(set(names))


def test_its_metadata_is_that_of_the_installation(tmp_path: Path) -> None:
    archive = zipfile.ZipFile(write_wheel(tmp_path))
    home = f"openenv-{openenv.__version__}.dist-info"
    metadata = Parser().parsestr(archive.read(f"{home}/METADATA").decode())
    assert (metadata["Name"], metadata["Version"]) == ("openenv", openenv.__version__)
    assert b"openenv = openenv.cli.main:main" in archive.read(f"{home}/entry_points.txt")
    assert f"{home}/licenses/LICENSE" in archive.namelist()
    assert f"{home}/direct_url.json" not in archive.namelist()


def test_the_same_files_are_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    again = write_wheel(tmp_path / "again")
    assert write_wheel(tmp_path).read_bytes() == again.read_bytes()


def test_pip_installs_it_and_so_does_the_wheel_of_what_it_installs(tmp_path: Path) -> None:
    built = write_wheel(tmp_path)
    site = tmp_path / "site"
    pip = (sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target")
    subprocess.run([*pip, site, built], check=True, capture_output=True)
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "import openenv, openenv_core.client_types\n"
        "from pathlib import Path\n"
        "from openenv.wheel import write_wheel\n"
        "print(openenv.__file__)\n"
        f"print(write_wheel(Path({str(site)!r})))"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    package, again = run.stdout.splitlines() or run.stderr.splitlines()
    assert package == str(site / "openenv/__init__.py")
    assert Path(again).read_bytes() == built.read_bytes()


def test_what_is_not_installed_cannot_be_given_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Leavings(Distribution):
        """What a build leaves in a checkout: metadata, but no record of installed files."""

        def read_text(self, filename: str) -> str | None:
            return None if filename == "RECORD" else "Name: openenv\nVersion: 1.0.0\n"

        def locate_file(self, path: object) -> Path:
            return tmp_path

    monkeypatch.setattr(wheel, "distributions", lambda name: [Leavings()])
    with pytest.raises(ConfigurationError, match="without being installed"):
        write_wheel(tmp_path)
