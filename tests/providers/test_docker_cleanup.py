"""What is removed, and above all what is not."""

import tempfile
from pathlib import Path

import pytest

from openenv.providers.docker import LocalDockerProvider
from openenv.providers.docker_cleanup import (
    IMAGE_LABEL,
    OWNER_LABEL,
    START_LABEL,
    OwnedContainer,
    make_socket_folder,
    remove_socket_folder,
    started,
)
from openenv.providers.ownership import Owner
from tests.containers import Containers

SLEEP = ["sleep", "60"]


@pytest.fixture
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.usefixtures("_temporary")
def test_the_folder_of_a_socket_can_be_entered_by_this_user_alone(tmp_path: Path) -> None:
    folder = make_socket_folder()
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    assert folder.stat().st_mode & 0o777 == 0o777
    (folder / "server.sock").touch()
    remove_socket_folder(f"unix:{folder}/server.sock")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_temporary")
def test_a_label_cannot_have_other_folders_removed(tmp_path: Path) -> None:
    ours = make_socket_folder().parent
    other, elsewhere = tmp_path / "other/shared", tmp_path / "deep/openenv-sockets-x/shared"
    link = tmp_path / "openenv-sockets-link"
    for folder in (other, elsewhere):
        folder.mkdir(parents=True)
    link.symlink_to(other.parent)
    for url in (
        f"unix:{other}/server.sock",
        f"unix:{elsewhere}/server.sock",
        f"unix:{link}/shared/server.sock",
        f"unix:{tmp_path}/../{tmp_path.name}/other/shared/server.sock",
        f"{ours}/shared/server.sock",
        "http://127.0.0.1",
        "unix:",
        "",
    ):
        remove_socket_folder(url)
    assert other.exists()
    assert elsewhere.exists()
    assert ours.exists()


def test_a_charge_is_of_one_container_and_not_of_its_name(containers: Containers) -> None:
    provider = LocalDockerProvider(command=SLEEP)
    provider.start_container(containers.image)
    name = str(provider.container_name)
    start = containers.get(name).labels[START_LABEL]
    OwnedContainer(name, "another start", "").remove_at_last()
    assert containers.left() == [name]
    OwnedContainer(name, start, "").remove_at_last()
    assert containers.left() == []
    provider.stop_container()


def test_what_cannot_be_removed_at_exit_is_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "gopher://docker")
    OwnedContainer("some-container", "some start", "").remove_at_last()
    assert "some-container" in caplog.text
    assert "openenv prune" in caplog.text


def test_a_start_tells_what_it_has_swept(
    containers: Containers, caplog: pytest.LogCaptureFixture
) -> None:
    nobody = Owner(Owner.this_process().host, "another boot", 1, "1")
    labels = {OWNER_LABEL: str(nobody), IMAGE_LABEL: containers.image}
    orphan = containers.client.containers.create(containers.image, SLEEP, labels=labels)
    provider = LocalDockerProvider(command=SLEEP)
    provider.start_container(containers.image)
    assert orphan.name in caplog.text
    assert containers.left() == [provider.container_name]
    provider.stop_container()


def test_labels_of_somebody_else_are_no_trouble(containers: Containers) -> None:
    labels = {OWNER_LABEL: "me", IMAGE_LABEL: containers.image}
    other = containers.client.containers.create(containers.image, SLEEP, labels=labels)
    assert other.name not in [one.name for one in started(containers.client)]
    provider = LocalDockerProvider(command=SLEEP)
    provider.start_container(containers.image)
    provider.stop_container()
    assert containers.left() == [other.name]
    other.remove()


def test_a_paused_container_is_removed_too(containers: Containers) -> None:
    provider = LocalDockerProvider(command=SLEEP)
    provider.start_container(containers.image)
    containers.get(provider.container_name).pause()
    provider.stop_container()
    assert containers.left() == []
