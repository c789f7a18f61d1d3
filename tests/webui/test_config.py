"""What the page is told of an environment."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx
import pytest
from msgspec import Meta
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.routing import Mount

from envs.echo_env.server.environment import EchoEnvironment
from openenv.app import create_app
from openenv.codec import codec_for
from openenv.environment import Environment
from openenv.errors import ConfigurationError
from openenv.manifest import Manifest
from openenv.models import Action, EnvironmentInfo, Observation, State
from openenv.server.config import ServerConfig
from openenv.webui.choices import buttons_of, is_chat, keys_of
from openenv.webui.config import title_of
from openenv.webui.options import reset_schema
from openenv.webui.quick_start import example_action
from tests.environments import Counter
from tests.server.asking import served
from tests.serving import serving


class Way(Enum):
    NORTH = "north"
    SOUTH = "south"


@dataclass(kw_only=True)
class Walk(Action):
    way: Way
    steps: int = 1


@dataclass(kw_only=True)
class Press(Action):
    button: Annotated[int, Meta(ge=2, le=4)]


@dataclass(kw_only=True)
class Jump(Action):
    high: bool = False


@dataclass(kw_only=True)
class Choose(Action):
    number: Annotated[int, Meta(ge=0, le=9, extra_json_schema={"among": "legal"})]


@dataclass(kw_only=True)
class Pick(Action):
    number: Annotated[int, Meta(ge=0, le=10_000)]


@dataclass(kw_only=True)
class Two(Action):
    x: bool
    y: bool


@dataclass(kw_only=True)
class Talk(Observation):
    messages: list[str]


class Plain(Environment[Action, Observation, State]):
    def reset(self) -> Observation:
        return Observation()

    def step(self, action: Action) -> Observation:
        return Observation()


class Named(Plain):
    web_buttons = {"Left": {"way": "north"}, "Right": {"way": "south"}}  # noqa: RUF012
    web_keys = {"ArrowLeft": {"way": "north"}}  # noqa: RUF012


class Words(Plain):
    def message_to_action(self, message: Any) -> Any:
        return message


async def config_of(env: Any, **options: Any) -> dict[str, Any]:
    async with served(env, web=True, **options) as (http, registry):
        reply = await http.get("/web/config.json")
        assert reply.headers["cache-control"] == "no-store"
        # Whoever looks takes no slot.
        assert registry.active == 0
        content: dict[str, Any] = reply.json()
        return content


async def test_it_says_all_that_the_page_asks_for() -> None:
    config = await config_of(Counter)
    assert config.keys() == {
        *("name", "title", "version", "readme", "quick_start"),
        *("action_schema", "observation_schema", "state_schema", "reset_schema"),
        *("is_chat", "watch", "view", "render", "replay", "discrete_actions", "keys", "capacity"),
    }
    assert (config["name"], config["title"]) == ("Counter", "Counter")
    assert config["action_schema"]["properties"] == {"amount": {"type": "integer", "default": 1}}
    assert config["capacity"] == {"active_sessions": 0, "max_sessions": 16_384}
    assert (config["watch"], config["view"], config["render"]) == (False, None, False)


async def test_it_knows_an_environment_by_its_folder() -> None:
    config = await config_of(EchoEnvironment)
    assert (config["title"], config["version"]) == ("Echo", "1.0.0")
    assert config["readme"].startswith("# Echo")


@pytest.mark.parametrize(
    ("manifest", "name", "title"),
    [
        ("openspiel_env", "OpenSpielEnvironment", "OpenSpiel"),
        ("grid-world-env", "GridWorld", "GridWorld"),
        ("my_robot", "Simulation", "My robot"),
        (None, "CartPole-v1", "CartPole-v1"),
        (None, "Environment", "Environment"),
    ],
)
def test_the_title_is_as_its_author_spells_it(
    manifest: str | None, name: str, title: str, tmp_path: Path
) -> None:
    read = manifest and Manifest(path=tmp_path, name=manifest)
    assert title_of(read or None, name) == title


async def test_what_an_environment_says_of_itself_comes_first_once_it_is_known() -> None:
    class Described(Counter):
        def get_metadata(self) -> EnvironmentInfo:
            text = "---\ntitle: A Space\n---\n\n# Told\n"
            return EnvironmentInfo(name="described", readme_content=text)

    async with served(Described, web=True) as (http, _):
        assert (await http.get("/web/config.json")).json()["readme"] != "# Told"
        await http.post("/reset")
        # Without what is a Space's own.
        assert (await http.get("/web/config.json")).json()["readme"] == "# Told"


async def test_the_quick_start_names_the_address_that_was_asked_for() -> None:
    async with served(Counter, web=True) as (http, _):
        headers = {"host": "space.example", "x-forwarded-proto": "https"}
        text = (await http.get("/web/config.json", headers=headers)).json()["quick_start"]
    assert 'GenericEnvClient("https://space.example")' in text
    assert "env.step({'amount': " in text


async def test_the_quick_start_names_the_path_below_which_it_is_mounted() -> None:
    mounted = Starlette(routes=[Mount("/below/it", app=create_app(Counter, web=True))])
    async with serving(mounted) as url, httpx.AsyncClient(base_url=url) as http:
        text = (await http.get("/below/it/web/config.json")).json()["quick_start"]
    assert f'GenericEnvClient("{url}/below/it")' in text


async def test_a_view_lies_beside_the_class_with_all_that_it_needs(
    tmp_path: Path, load: Callable[[str, str], Any]
) -> None:
    code = "from tests.environments import Counter\nclass Mine(Counter): ...\n"
    module = load("viewed_env.server.environment", code)
    folder = tmp_path / "viewed_env" / "server" / "web"
    folder.mkdir()
    (folder / "notes.txt").write_text("of another page")
    async with served(module.Mine, web=True) as (http, _):
        # A folder without a view is something else.
        assert (await http.get("/web/config.json")).json()["view"] is None
        assert (await http.get("/web/notes.txt")).status_code == 404
    (folder / "view.js").write_text('import "./board.js";\n')
    (folder / "board.js").write_text("// a board\n")
    (folder / "index.html").write_text("not the page")
    async with served(module.Mine, web=True) as (http, _):
        assert (await http.get("/web/config.json")).json()["view"] == "/web/view.js"
        assert (await http.get("/web/view.js")).text == 'import "./board.js";\n'
        assert (await http.get("/web/board.js")).text == "// a board\n"
        assert (await http.get("/web/environment.py")).status_code == 404
        assert "not the page" not in (await http.get("/web/")).text


async def test_a_class_that_comes_from_no_file_has_neither_view_nor_readme() -> None:
    config = await config_of(type("Made", (Counter,), {"__module__": "nowhere"}))
    assert (config["view"], config["readme"], config["title"]) == (None, None, "Made")


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Any]:
    def load(name: str, code: str) -> Any:
        file = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        file.parent.mkdir(parents=True)
        file.write_text(code)
        monkeypatch.syspath_prepend(str(tmp_path))
        return importlib.import_module(name)

    return load


@pytest.mark.parametrize(
    ("action", "buttons"),
    [
        (Walk, {"north": {"way": "north"}, "south": {"way": "south"}}),
        (Press, {f"button {n}": {"button": n} for n in (2, 3, 4)}),
        (Jump, {"high False": {"high": False}, "high True": {"high": True}}),
        (Choose, None),
        (Pick, None),
        (Two, None),
        (dict, None),
    ],
)
def test_few_choices_are_buttons(action: Any, buttons: dict[str, Any] | None) -> None:
    found = buttons_of(Plain, codec_for(action))
    shown = None if found is None else {one["label"]: one["action"] for one in found}
    assert shown == buttons


def test_bounds_that_are_no_integers_are_those_of_the_integers_within() -> None:
    class Odd(BaseModel):
        n: int = Field(json_schema_extra={"minimum": 0.5, "maximum": 2.0})

    found = buttons_of(Plain, codec_for(Odd))
    assert found is not None
    assert [one["action"] for one in found] == [{"n": 1}, {"n": 2}]


def test_a_class_may_name_buttons_and_keys() -> None:
    found = buttons_of(Named, codec_for(Walk))
    assert found is not None
    assert found[0] == {"label": "Left", "action": {"way": "north"}}
    assert keys_of(Named, codec_for(Walk)) == {"ArrowLeft": {"way": "north"}}
    assert keys_of(Plain, codec_for(Walk)) is None


@pytest.mark.parametrize(
    ("attribute", "value", "complaint"),
    [
        ("web_buttons", ["north"], r"Walker\.web_buttons must be a dict of actions, not list"),
        ("web_buttons", {"Up": {"way": "up"}}, r"Walker\.web_buttons\['Up'\] is no action: .*'up'"),
        ("web_keys", {"ArrowUp": "north"}, r"Walker\.web_keys\['ArrowUp'\] is no action"),
        ("web_options", {"speed": 1}, r"Walker\.web_options must be a class of options"),
    ],
)
def test_what_a_class_says_wrongly_is_refused_at_once(
    attribute: str, value: Any, complaint: str
) -> None:
    class Walker(Environment[Walk, Observation, State]):
        def reset(self, **options: Any) -> Observation:
            return Observation()

        def step(self, action: Walk) -> Observation:
            return Observation()

    setattr(Walker, attribute, value)
    with pytest.raises(ConfigurationError, match=complaint):
        create_app(Walker, web=True)


def test_an_untyped_action_is_an_object_all_the_same() -> None:
    class Arrows(Plain):
        web_keys = {"ArrowUp": "north"}  # noqa: RUF012

    with pytest.raises(ConfigurationError, match="is no action: expected an object, got str"):
        keys_of(Arrows, codec_for(dict))


def test_a_conversation_is_known_by_its_messages() -> None:
    plain, talk = codec_for(Observation).json_schema(), codec_for(Talk).json_schema()
    assert [is_chat(Plain, plain), is_chat(Plain, talk), is_chat(Words, plain)] == [
        False,
        True,
        True,
    ]


# ---- options of reset


class Odd:
    """A default that is no plain data."""


class Resets:
    def typed(self, seed: int | None = None, level: Literal["easy", "hard"] = "easy") -> None: ...
    def required(self, *, size: Annotated[int, Meta(ge=1)], **options: Any) -> None: ...
    def untyped(self, episode_id=None, word="x", odd=Odd()): ...  # type: ignore[no-untyped-def]  # noqa: B008
    def unknown(self, at: "Nowhere" = None) -> None: ...  # type: ignore[name-defined]  # noqa: F821
    def strange(self, at: Odd | None = None) -> None: ...


def test_options_have_the_types_and_defaults_of_the_signature() -> None:
    schema = reset_schema(Resets.typed)
    assert list(schema["properties"]) == ["seed", "level", "episode_id"]
    assert schema["properties"]["level"] == {"enum": ["easy", "hard"], "default": "easy"}
    assert schema["properties"]["seed"]["description"]
    assert (schema["required"], schema["additionalProperties"]) == ([], False)


def test_options_may_be_required_and_others_taken() -> None:
    schema = reset_schema(Resets.required, keeps_id=False)
    assert schema["properties"] == {"size": {"type": "integer", "minimum": 1}}
    assert (schema["required"], schema["additionalProperties"]) == (["size"], True)


def test_what_reset_takes_by_any_name_may_have_a_class() -> None:
    @dataclass
    class Options:
        way: Way = Way.NORTH
        size: str = "ignored: reset has one itself"

    schema = reset_schema(Resets.required, keeps_id=False, others=Options)
    assert schema["properties"]["size"] == {"type": "integer", "minimum": 1}
    # Without a default: the server may have been told another.
    assert schema["properties"]["way"] == {"$ref": "#/$defs/Way"}
    assert schema["$defs"]["Way"]["enum"] == ["north", "south"]
    assert (schema["required"], schema["additionalProperties"]) == (["size"], False)
    # What takes no others has none.
    assert "way" not in reset_schema(Resets.typed, others=Options)["properties"]


@pytest.mark.parametrize(
    ("method", "names"),
    [
        (Resets.untyped, ["episode_id", "word", "odd"]),
        (Resets.unknown, ["at", "episode_id"]),
        (Resets.strange, ["at", "episode_id"]),
    ],
)
def test_what_has_no_schema_is_an_option_of_any_type(method: Any, names: list[str]) -> None:
    schema = reset_schema(method)
    assert list(schema["properties"]) == names
    assert schema["required"] == []


# ---- the example of the quick start


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        (codec_for(Walk).json_schema(), ("{'way': 'north'}", "{'way': 'south'}")),
        (codec_for(dict).json_schema(), ("{}",)),
        ({"type": "array", "items": {"type": "number"}, "minItems": 999}, ("action",)),
        ({"type": "mystery"}, ("action",)),
    ],
)
def test_the_example_is_short_and_says_what_is_needed(schema: Any, shown: tuple[str, ...]) -> None:
    assert example_action(schema) in shown


def test_numbers_of_the_example_are_rounded() -> None:
    number = {"type": "number", "minimum": 0, "maximum": 1}
    schema = {"type": "object", "required": ["at"], "properties": {"at": number}}
    assert len(example_action(schema)) < len("{'at': 0.123}")


async def test_the_page_is_told_whether_it_may_watch() -> None:
    config = await config_of(Counter, config=ServerConfig(watch=True))
    assert config["watch"] is True
