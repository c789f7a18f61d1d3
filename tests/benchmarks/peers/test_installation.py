import threading
from pathlib import Path

import pytest

from benchmarks.peers import installation
from benchmarks.peers.installation import PeerInstallError, Release, python_of

_RELEASE = Release("some-release", "1.2.3")


class FakeInstaller:
    """Stands in for venv and pip, which need a network and minutes."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []

    def __call__(self, command: list[str], release: Release) -> None:
        self.commands.append(command)
        release.folder.mkdir(exist_ok=True)


@pytest.fixture
def installer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeInstaller:
    fake = FakeInstaller()
    monkeypatch.setattr(installation, "HOME", tmp_path / "peers")
    monkeypatch.setattr(installation, "_run", fake)
    return fake


def test_a_release_is_installed_once_with_the_fast_loop_and_parser(
    installer: FakeInstaller,
) -> None:
    assert python_of(_RELEASE) == python_of(_RELEASE) == _RELEASE.folder / "bin" / "python"
    _, pip = installer.commands
    assert pip[-3:] == ["some-release==1.2.3", "uvloop", "httptools"]


def test_a_release_may_name_what_is_installed_with_it(installer: FakeInstaller) -> None:
    release = Release("some-release", "1.2.3", ("its-tools==4",))
    python_of(release)
    _, pip = installer.commands
    assert pip[-2:] == ["some-release==1.2.3", "its-tools==4"]
    python_of(Release("some-release", "1.2.3", ("its-tools==5",)))
    assert len(installer.commands) == 4


def test_an_interrupted_installation_is_made_anew(installer: FakeInstaller) -> None:
    _RELEASE.folder.mkdir(parents=True)
    (_RELEASE.folder / "half").touch()
    python_of(_RELEASE)
    assert not (_RELEASE.folder / "half").exists()
    assert len(installer.commands) == 2


def test_two_that_ask_at_once_install_once(installer: FakeInstaller) -> None:
    both = threading.Barrier(2)

    def ask() -> None:
        both.wait()
        python_of(_RELEASE)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(installer.commands) == 2


def test_what_pip_said_is_in_the_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(installation, "HOME", tmp_path)
    monkeypatch.setattr(installation.sys, "executable", "/bin/ls")
    with pytest.raises(PeerInstallError, match=r"some-release==1\.2\.3 could not be installed"):
        python_of(_RELEASE)
    assert not (_RELEASE.folder / "installed.txt").exists()
