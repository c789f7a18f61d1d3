"""openenv.js: its own tests, run by node against the shared vectors and a live server."""

import json
import re
import shutil
import tarfile
from pathlib import Path

import pytest

from tests.node import run, run_npm, workspace

pytestmark = pytest.mark.timeout(300)


def test_the_client_passes_its_tests() -> None:
    client = workspace() / "client"
    files = [f"test/{path.name}" for path in sorted(client.glob("test/*.test.js"))]
    said = run("node", "--test", "--test-reporter=spec", *files, folder=client)
    counts = {
        name: int(count) for name, count in re.findall(r"^\S (\w+) (\d+)$", said, re.MULTILINE)
    }
    assert counts["pass"] == counts["tests"] > 350


def test_the_package_holds_what_its_manifest_names_and_no_tests(tmp_path: Path) -> None:
    client = workspace() / "client"
    run_npm(
        "pack", "--workspace", "client", "--ignore-scripts", "--pack-destination", str(tmp_path)
    )
    [archive] = tmp_path.glob("openenv-*.tgz")
    with tarfile.open(archive) as tar:
        names = {name.removeprefix("package/") for name in tar.getnames()}
    manifest = json.loads((client / "package.json").read_text())
    exported = [manifest["types"], *manifest["exports"]["."].values()]
    exported.append(manifest["exports"]["./openenv.min.js"])
    assert {name.removeprefix("./") for name in exported} <= names
    assert {"README.md", "LICENSE", "package.json"} <= names
    assert not [name for name in names if "test" in name]


def test_the_package_has_the_version_of_the_python_package() -> None:
    from openenv import __version__  # noqa: PLC0415 - only here

    manifest = json.loads((workspace() / "client/package.json").read_text())
    assert manifest["version"] == __version__.partition(".dev")[0]


@pytest.mark.skipif(shutil.which("deno") is None, reason="opt-in: where deno is on the path")
def test_the_client_plays_in_deno() -> None:
    client = workspace() / "client"
    said = run(
        "deno",
        "run",
        "--allow-all",
        "--node-modules-dir=manual",
        "test/play.deno.js",
        folder=client,
    )
    assert said.strip() == "played"
