"""What can be named can be served by another process; what cannot is refused."""

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from openenv.codec import Codec
from openenv.errors import ConfigurationError
from openenv.server.target import load_target
from openenv.server.workers.blueprint import Blueprint, blueprint_of
from tests.environments import Add, Counter
from tests.worker_environments import Deadly, make_deadly


@pytest.mark.parametrize("env", [Counter, make_deadly])
def test_a_name_leads_back_to_what_it_names(env: Any) -> None:
    assert blueprint_of(env, [Add, None, Any], debug=True).load() == (env, [Add, None, Any])


def test_a_partial_keeps_its_arguments() -> None:
    found, _ = blueprint_of(functools.partial(Deadly, log="x"), [], debug=False).load()
    assert (found.func, found.args, found.keywords) == (Deadly, (), {"log": "x"})


@pytest.mark.parametrize("argument", [object(), {1, 2}, (1, 2), 2**80])
def test_arguments_that_would_arrive_as_something_else_are_refused(argument: Any) -> None:
    with pytest.raises(ConfigurationError, match="plain data"):
        blueprint_of(functools.partial(Deadly, argument), [], debug=False)


def test_payload_classes_need_names_too() -> None:
    with pytest.raises(ConfigurationError, match="an instance of Codec"):
        blueprint_of(Counter, [Codec(Add)], debug=False)


def test_a_name_that_is_gone_is_said() -> None:
    blueprint = Blueprint("tests.environments:Gone", [], {}, [], debug=False, folders={})
    with pytest.raises(ConfigurationError, match="Gone cannot be imported"):
        blueprint.load()


def test_a_folder_outside_of_the_path_is_found_by_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "lonely_env"
    (folder / "server").mkdir(parents=True)
    (folder / "openenv.yaml").write_text("app: server.environment:Lonely\n")
    (folder / "__init__.py").write_text("")
    (folder / "server/environment.py").write_text(
        "from openenv.environment import Environment\nclass Lonely(Environment): ...\n"
    )
    monkeypatch.setattr(sys, "path", list(sys.path))
    blueprint = blueprint_of(load_target(str(folder)), [], debug=False)
    assert blueprint.folders == {"lonely_env": str(folder)}
    code = (
        "import msgspec, sys; from openenv.server.workers.blueprint import Blueprint\n"
        "print(msgspec.json.decode(sys.argv[1], type=Blueprint).load()[0])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, msgspec.json.encode(blueprint).decode()],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "<class 'lonely_env.server.environment.Lonely'>\n"
