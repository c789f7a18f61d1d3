"""Spaces are published, copied and downloaded by the real client, asked of a stub of the hub."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from openenv.errors import ConfigurationError, ProviderError, ProviderUnavailable
from openenv.hub.spaces import (
    Publication,
    commit_of,
    download,
    fork,
    list_spaces,
    owner,
    publish,
    with_front_matter,
)
from openenv.manifest import read_manifest
from tests.hub.stub import HubStub, Space, serving_hub

MANIFEST = "name: told_env\nport: 7000\ndescription: Tells who runs it\n"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubStub]:
    with serving_hub(monkeypatch, tmp_path / "cache") as stub:
        yield stub


def publication(name: str = "somebody/told", **options: object) -> Publication:
    files = {
        "openenv.yaml": MANIFEST.encode(),
        "README.md": b"---\nsdk: docker\ncolorFrom: red\ncolorTo: red\n---\n",
    }
    return Publication(space=name, files={**files, "models.py": b"one = 1\n"}, **options)


def test_a_space_is_made_with_all_that_it_needs_in_one_commit(hub: HubStub) -> None:
    published = publish(
        publication(
            variables={"A": "1"}, secrets={"KEY": "s3cret"}, is_private=True, hardware="t4-small"
        )
    )
    space = hub.spaces["somebody/told"]
    assert (published.url.endswith("/spaces/somebody/told"), published.is_new) == (True, True)
    assert published.commit == space.sha
    assert space.files.keys() == {".gitattributes", "openenv.yaml", "README.md", "models.py"}
    assert (space.variables, space.secrets) == ({"A": "1"}, {"KEY": "s3cret"})
    assert (space.private, space.hardware) == (True, "t4-small")
    assert space.messages == ["Publish with openenv"]
    assert "s3cret" not in repr(publication(secrets={"KEY": "s3cret"}))


def test_a_second_time_it_is_brought_up_to_date(hub: HubStub) -> None:
    publish(publication())
    hub.spaces["somebody/told"].files["old.py"] = b"gone = True\n"
    hub.asked.clear()
    again = publish(publication(variables={"A": "2"}, secrets={"K": "v"}, hardware="cpu-upgrade"))
    space = hub.spaces["somebody/told"]
    assert not again.is_new
    assert "old.py" not in space.files
    assert (space.variables, space.secrets, space.hardware) == (
        {"A": "2"},
        {"K": "v"},
        "cpu-upgrade",
    )
    assert "POST /api/repos/create" not in hub.asked
    assert not space.private


def test_a_space_that_is_no_environment_is_left_alone(hub: HubStub) -> None:
    hub.spaces["somebody/told"] = taken = Space("somebody/told", {"app.py": b"mine"})
    with pytest.raises(ConfigurationError, match="--repo-id"):
        publish(publication())
    assert taken.files == {"app.py": b"mine"}


def test_others_are_asked_by_a_pull_request(hub: HubStub) -> None:
    hub.spaces["other/told"] = Space("other/told", {"openenv.yaml": b"name: told_env\n"})
    published = publish(publication("other/told"), as_request=True)
    assert published.pull_request == f"{published.url}/discussions/1"
    [asked] = hub.spaces["other/told"].pull_requests
    assert asked["models.py"] == b"one = 1\n"
    assert hub.spaces["other/told"].files.keys() == {"openenv.yaml"}
    with pytest.raises(ConfigurationError):
        publish(publication("other/none"), as_request=True)


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [("other/told", ProviderError, "forbids"), ("not a name", ConfigurationError, "not a name")],
)
def test_where_one_may_not_write_is_said(
    hub: HubStub, name: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        publish(publication(name))
    assert hub.spaces == {}


def test_unknown_hardware_is_said_in_the_hubs_words(hub: HubStub) -> None:
    with pytest.raises(ProviderError, match="Invalid hardware: abacus"):
        publish(publication(hardware="abacus"))


def test_without_a_login_it_is_said_how_to_log_in(
    hub: HubStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert owner() == "somebody"
    monkeypatch.delenv("HF_TOKEN")
    for call in (owner, lambda: publish(publication())):
        with pytest.raises(ProviderUnavailable, match="hf auth login"):
            call()
    monkeypatch.setenv("HF_TOKEN", "hf_old")
    with pytest.raises(ProviderUnavailable, match="hf auth login"):
        owner()


def test_a_space_is_copied_with_what_its_copy_needs(hub: HubStub) -> None:
    hub.spaces["other/told"] = Space("other/told", {"openenv.yaml": b""}, {"A": "1"})
    url = fork("other/told", None, is_private=True, secrets={"KEY": "s"}, hardware="cpu-upgrade")
    copy = hub.spaces["somebody/told"]
    assert url.endswith("/spaces/somebody/told")
    assert (copy.files, copy.secrets) == ({"openenv.yaml": b""}, {"KEY": "s"})
    assert (copy.private, copy.hardware) == (True, "cpu-upgrade")
    with pytest.raises(ConfigurationError, match="somebody/told already"):
        fork("other/told", None)
    fork("other/told", "somebody/mine", variables={"A": "2"})
    assert hub.spaces["somebody/mine"].variables == {"A": "2"}
    with pytest.raises(ConfigurationError, match="no Space other/tald"):
        fork("other/tald", None)
    with pytest.raises(ConfigurationError, match="org/name"):
        fork("told", None)


def test_what_is_downloaded_is_what_the_space_holds_now(hub: HubStub) -> None:
    hub.spaces["other/told"] = space = Space("other/told", {"openenv.yaml": MANIFEST.encode()})
    first = download("other/told", commit_of("other/told"))
    assert (first.name, first.origin) == ("told_env", "space")
    space.files["models.py"] = b"one = 1\n"
    second = download("other/told", commit_of("other/told"))
    assert (second.folder / "models.py").read_bytes() == b"one = 1\n"
    assert second.distribution == f"other/told {space.sha}"


def test_a_space_without_a_manifest_is_no_environment(hub: HubStub) -> None:
    hub.spaces["other/told"] = Space("other/told", {"app.py": b""})
    with pytest.raises(ConfigurationError, match=r"openenv\.yaml"):
        download("other/told", commit_of("other/told"))


def test_spaces_are_found_by_their_tag(hub: HubStub) -> None:
    hub.spaces["other/told"] = Space("other/told")
    assert [one["space"] for one in list_spaces("told")] == ["other/told"]


def test_a_hub_that_does_not_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ProviderError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
        commit_of("other/told")


@pytest.mark.parametrize("has_interface", [True, False])
def test_a_readme_gets_the_front_matter_of_a_space(tmp_path: Path, has_interface: bool) -> None:
    (tmp_path / "openenv.yaml").write_text(MANIFEST)
    made = with_front_matter("# Told\n", read_manifest(tmp_path), has_interface=has_interface)
    _, head, text = made.split("---\n")
    matter = yaml.safe_load(head)
    assert text == "\n# Told\n"
    assert (matter["sdk"], matter["app_port"], matter["tags"]) == ("docker", 7000, ["openenv"])
    assert matter.get("base_path") == ("/web" if has_interface else None)
    assert matter["short_description"] == "Tells who runs it"


def test_front_matter_of_ones_own_is_kept(tmp_path: Path) -> None:
    (tmp_path / "openenv.yaml").write_text(MANIFEST)
    own = "---\ntitle: Mine\ntags: [chess, openenv]\nlicense: mit\n---\n# Told\n"
    matter = yaml.safe_load(with_front_matter(own, read_manifest(tmp_path)).split("---\n")[1])
    assert (matter["title"], matter["license"], matter["sdk"]) == ("Mine", "mit", "docker")
    assert matter["tags"] == ["chess", "openenv"]


@pytest.mark.parametrize("head", ["sdk: gradio", "- a list", "a: [", "title: x\n# no end"])
def test_front_matter_that_cannot_be_is_refused(tmp_path: Path, head: str) -> None:
    (tmp_path / "openenv.yaml").write_text(MANIFEST)
    end = "" if "no end" in head else "---\n"
    with pytest.raises(ConfigurationError, match=r"README\.md"):
        with_front_matter(f"---\n{head}\n{end}", read_manifest(tmp_path))
