"""An image's recipe is found from an environment's folder; its context is a copy with our wheel."""

import os
from pathlib import Path

import pytest

import openenv
from openenv.cli.images import plan_image, repository_of, staged
from openenv.cli.scaffold import write_environment
from openenv.errors import ConfigurationError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_environment("my_env", tmp_path / "my_env")
    return tmp_path / "my_env"


@pytest.fixture
def in_repository(tmp_path: Path) -> Path:
    """An environment in the `envs` of a repository, whose Dockerfile copies from its root."""
    (tmp_path / ".git").mkdir()
    folder = tmp_path / "envs/my_env"
    write_environment("my_env", folder)
    (folder / "server/Dockerfile").write_text(
        "FROM scratch\nARG BUILD_MODE=x\nARG ENV_NAME\nCOPY envs/my_env /app\n"
    )
    return folder


def test_what_is_not_given_is_found(folder: Path) -> None:
    recipe = plan_image(folder)
    assert recipe.context == folder
    assert recipe.dockerfile == folder / "server/Dockerfile"
    assert recipe.tags == ("my-env:latest", "openenv-my:latest")
    assert recipe.build_args == {}
    assert recipe.labels["openenv.environment"] == "my_env"
    assert recipe.labels["openenv.version"] == openenv.__version__
    assert recipe.labels["org.opencontainers.image.version"] == "0.1.0"


def test_a_dockerfile_may_lie_beside_the_manifest(folder: Path) -> None:
    (folder / "openenv.yaml").write_text("name: my_env\n")
    (folder / "server/Dockerfile").rename(folder / "Dockerfile")
    assert plan_image(folder).dockerfile == folder / "Dockerfile"


def test_what_copies_from_the_repository_is_built_from_its_root(in_repository: Path) -> None:
    recipe = plan_image(in_repository, build_args=["A=1=2"])
    assert recipe.context == in_repository.parents[1]
    # As Dockerfiles of existing environments ask for.
    assert recipe.build_args == {"A": "1=2", "BUILD_MODE": "in-repo", "ENV_NAME": "my_env"}


def test_what_copies_its_own_files_is_built_from_its_folder(in_repository: Path) -> None:
    (in_repository / "server/Dockerfile").write_text("FROM scratch\nCOPY --chown=1 . /app\n")
    assert plan_image(in_repository).context == in_repository


def test_what_is_given_counts(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "Other").write_text("FROM scratch\nARG BUILD_MODE\n")
    recipe = plan_image(
        folder,
        tags=["host:5000/me/mine:1.0"],
        context=tmp_path,
        dockerfile=tmp_path / "Other",
        build_args=["BUILD_MODE=mine"],
    )
    assert (recipe.context, recipe.dockerfile) == (tmp_path, tmp_path / "Other")
    assert recipe.tags == ("host:5000/me/mine:1.0",)
    assert recipe.build_args == {"BUILD_MODE": "mine"}


def test_only_what_lies_in_envs_of_a_repository_is_in_it(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    for inside, outside in (("envs/a", "a"), ("src/envs/a", "src/a")):
        assert repository_of(tmp_path / inside) == tmp_path
        assert repository_of(tmp_path / outside) is None


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"tags": ["My Env"]}, "'My Env' is no name of an image"),
        ({"build_args": ["A"]}, "--build-arg A is not of the form NAME=VALUE"),
        ({"build_args": ["1=2"]}, "not of the form NAME=VALUE"),
        ({"context": Path("no/such")}, "the context no/such is no folder"),
        ({"dockerfile": Path("no/such")}, "there is no Dockerfile no/such"),
    ],
)
def test_what_is_wrong_is_said(folder: Path, options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        plan_image(folder, **options)  # type: ignore[arg-type]


def test_without_a_dockerfile_that_is_said(folder: Path) -> None:
    (folder / "server/Dockerfile").unlink()
    with pytest.raises(ConfigurationError, match=r"openenv.yaml:10: there is no server/Dockerfile"):
        plan_image(folder)
    (folder / "openenv.yaml").write_text("name: my_env\n")
    with pytest.raises(ConfigurationError, match="has no Dockerfile, neither server/Dockerfile"):
        plan_image(folder)


# ---- staging


def test_the_context_is_a_copy_with_the_wheel_of_what_runs(folder: Path) -> None:
    (folder / ".venv").mkdir()
    (folder / "wheels").mkdir()
    for name in ("openenv-0.0.1-py3-none-any.whl", "other-1.0-py3-none-any.whl"):
        (folder / "wheels" / name).touch()
    before = sorted(folder.rglob("*"))
    with staged(plan_image(folder)) as (context, dockerfile):
        assert dockerfile == context / "server/Dockerfile"
        assert sorted(path.name for path in (context / "wheels").iterdir()) == [
            f"openenv-{openenv.__version__}-py3-none-any.whl",
            "other-1.0-py3-none-any.whl",
        ]
        assert not (context / ".venv").exists()
        assert (context / "models.py").read_text() == (folder / "models.py").read_text()
    assert not context.exists()
    assert sorted(folder.rglob("*")) == before


def test_what_is_to_be_left_out_is_never_copied(folder: Path) -> None:
    for name in (".env", "server/.env.local"):
        (folder / name).write_text("mine")
    with staged(plan_image(folder), (".env", ".env.*")) as (context, _):
        assert list(context.rglob(".env*")) == []


def test_a_dockerignore_cannot_leave_the_wheel_out(folder: Path) -> None:
    (folder / ".dockerignore").write_text("*")
    with staged(plan_image(folder)) as (context, _):
        lines = (context / ".dockerignore").read_text().splitlines()
    assert lines == ["*", "!wheels", "!wheels/*.whl"]
    assert (folder / ".dockerignore").read_text() == "*"


def test_a_dockerfile_from_elsewhere_is_staged_beside_the_context(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "Other").write_text("FROM scratch\n")
    recipe = plan_image(folder, dockerfile=tmp_path / "Other")
    with staged(recipe) as (context, dockerfile):
        assert dockerfile.read_text() == "FROM scratch\n"
        assert not dockerfile.is_relative_to(context)


def test_links_stay_links(folder: Path) -> None:
    (folder / "latest").symlink_to("no/such/place")
    with staged(plan_image(folder)) as (context, _):
        assert os.readlink(context / "latest") == "no/such/place"


def test_what_cannot_be_copied_is_said(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    complaint = r"cannot be copied: .*pipe` is a named pipe"
    with pytest.raises(ConfigurationError, match=complaint), staged(plan_image(folder)):
        pass
