"""What a user names is found, wherever it lies; and if not, the message says what to do."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from envs.echo_env.server.app import app as echo_app
from openenv.app import create_app
from openenv.errors import ConfigurationError
from openenv.server.target import is_environment, load_app, load_object, load_target
from tests.environments import Counter

ROOT = Path(__file__).parents[2]

MODELS = "LIMIT = 3\n"
ENVIRONMENT = """
from openenv.environment import Environment
from ..models import LIMIT

class Countdown(Environment):
    def reset(self):
        return {"left": LIMIT}

    def step(self, action):
        return {"left": 0}
"""
APP = """
from openenv.app import create_app
from .environment import Countdown

app = create_app(Countdown)
"""


@pytest.fixture(autouse=True)
def _imports_are_undone() -> Iterator[None]:
    modules, path = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def write_environment(folder: Path, *, is_package: bool = True, **files: str) -> Path:
    """An environment in the usual layout; `files` replaces the texts of some."""
    contents = {
        "openenv.yaml": files.get("manifest", "app: server.app:app\n"),
        "models.py": MODELS,
        "server/__init__.py": "",
        "server/environment.py": files.get("environment", ENVIRONMENT),
        "server/app.py": files.get("app", APP),
    }
    if is_package:
        contents["__init__.py"] = files.get("init", "")
    for name, text in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_an_environment_of_the_checkout_is_one_module_by_either_name() -> None:
    assert load_target(str(ROOT / "envs/echo_env")) is echo_app
    assert load_target("envs.echo_env.server.app:app") is echo_app


@pytest.mark.parametrize("is_package", [True, False])
def test_a_folder_anywhere_works_with_relative_imports(tmp_path: Path, is_package: bool) -> None:
    folder = write_environment(tmp_path / "count-down", is_package=is_package)
    app = load_target(str(folder))
    assert app.state.registry.spec.name == "Countdown"
    assert app.state.registry.spec.cls.__module__ == "count_down.server.environment"


def test_a_package_inside_packages_keeps_its_full_name(tmp_path: Path) -> None:
    for package in ("outer", "outer/inner"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    folder = write_environment(tmp_path / "outer/inner/countdown")
    cls = load_target(str(folder)).state.registry.spec.cls
    assert cls.__module__ == "outer.inner.countdown.server.environment"


def test_an_environment_that_imports_from_its_root_works_too(tmp_path: Path) -> None:
    environment = ENVIRONMENT.replace("from ..models", "from models")
    folder = write_environment(tmp_path / "flat", environment=environment)
    assert load_target(str(folder)).state.registry.spec.name == "Countdown"


def test_the_neighbours_of_a_folder_do_not_become_modules(tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").touch()
    load_target(str(write_environment(tmp_path / "countdown")))
    with pytest.raises(ImportError):
        __import__("neighbour")


def test_a_manifest_without_an_app_means_the_usual_one(tmp_path: Path) -> None:
    folder = write_environment(tmp_path / "countdown", manifest="name: countdown\n")
    assert load_target(str(folder)).state.registry.spec.name == "Countdown"


def test_a_manifest_may_name_the_class(tmp_path: Path) -> None:
    manifest = "app: server.environment:Countdown\n"
    folder = write_environment(tmp_path / "countdown", manifest=manifest)
    assert is_environment(load_target(str(folder)))


def test_modules_of_the_working_directory_are_found(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from tests.environments import Counter as Mine\n")
    code = f"import sys; sys.path.append({str(ROOT)!r})\n" + (
        "from openenv.server.target import load_target\n"
        "print(load_target('mine:Mine').__name__, load_target('mine.py:Mine').__name__)"
    )
    # -P: as for an installed script, the working directory is not on sys.path by itself.
    command = [sys.executable, "-P", "-c", code]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.stdout == "Counter Counter\n", run.stderr


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("no/such/folder", "'no/such/folder' is no folder here"),
        ("echo_env", "give the folder of an environment, module:app or"),
        ("no_such_module:app", "no_such_module:app: there is no module no_such_module"),
        ("tests.no_such_module:app", "there is no module tests.no_such_module"),
        ("tests.environments:", "not of the form module:attribute"),
        ("tests.environments:Countr", "has no 'Countr'; it has: Counter, ThreadCounter,"),
        ("tests.environments:Add", "is the class Add: neither an ASGI app nor an Environment"),
        ("tests.environments:asyncio", "is a value of type module: neither"),
        ("json:decoder.NaN", "is a value of type float: neither"),
    ],
)
def test_what_cannot_be_found_is_said(target: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_target(target)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("manifest", "complaint"),
    [
        (None, "holds no openenv.yaml. It needs at least the line 'app: server.app:app'"),
        ("- app", "must hold keys and values"),
        ("app: [server", "openenv.yaml:2 is not valid YAML"),
        ("app: 7", "app is 7, but must be of the form server.app:app"),
        ("app: server.app", "must be of the form server.app:app"),
        ("app: ../evil:app", "must be of the form server.app:app"),
        ("app: server.main:app", "there is no module countdown.server.main"),
        ("app: server.app:application", "has no 'application'; it has: Countdown, app"),
    ],
)
def test_what_is_wrong_with_a_manifest_is_said(
    tmp_path: Path, manifest: str | None, complaint: str
) -> None:
    folder = write_environment(tmp_path / "countdown", manifest=manifest or "")
    if manifest is None:
        (folder / "openenv.yaml").unlink()
    else:
        (folder / "openenv.yaml").write_text(manifest + "\n")
    with pytest.raises(ConfigurationError) as caught:
        load_target(str(folder))
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("file", "text", "complaint", "line"),
    [
        ("app", "import numppy\n", "No module named 'numppy'", "app.py:1: import numppy"),
        ("app", "def (:\n", "SyntaxError", "app.py:1: def (:"),
        ("app", "\nint('x')\n", "ValueError: invalid literal", "app.py:2: int('x')"),
        ("app", "raise SystemExit('no')\n", "SystemExit: no", "app.py:1: raise SystemExit('no')"),
        ("init", "1 / 0\n", "ZeroDivisionError", "__init__.py:1: 1 / 0"),
        ("app", "import json\njson.loads('{')\n", "JSONDecodeError", "app.py:2: json.loads"),
    ],
)
def test_an_error_in_the_user_s_code_shows_his_line(
    tmp_path: Path, file: str, text: str, complaint: str, line: str
) -> None:
    folder = write_environment(tmp_path / "countdown", **{file: text})
    with pytest.raises(ConfigurationError) as caught:
        load_target(str(folder))
    said = str(caught.value).splitlines()
    assert len(said) == 2
    assert complaint in said[0]
    assert line in said[1]


def test_a_wrong_setting_in_the_user_s_code_is_reported_as_such(tmp_path: Path) -> None:
    app = APP.replace("create_app(Countdown)", "create_app(Countdown, max_concurrent_envs=2)")
    folder = write_environment(tmp_path / "countdown", app=app)
    with pytest.raises(ConfigurationError, match="Countdown does not set SUPPORTS_CONCURRENT"):
        load_target(str(folder))


@pytest.mark.parametrize("name", ["json", "pytest"])
def test_a_folder_named_like_another_module_is_refused(tmp_path: Path, name: str) -> None:
    folder = write_environment(tmp_path / name)
    with pytest.raises(ConfigurationError, match=f"another module named {name}. Rename"):
        load_target(str(folder))


def test_load_app_wants_an_app() -> None:
    assert load_app("envs.echo_env.server.app:app") is echo_app
    with pytest.raises(ConfigurationError, match="wrap it in create_app"):
        load_app("tests.environments:Counter")


def test_environments_are_told_from_apps() -> None:
    async def asgi(scope: object, receive: object, send: object) -> None: ...

    def factory(start: int = 0) -> Counter:
        return Counter()

    assert is_environment(Counter)
    assert is_environment(factory)
    assert not is_environment(asgi)
    assert not is_environment(create_app(Counter))


def test_any_object_can_be_named() -> None:
    assert load_object("json:dumps") is __import__("json").dumps
    with pytest.raises(ConfigurationError, match=r"has no 'dump_all'; it has: .*dump, dumps,"):
        load_object("json:dump_all")
