"""Every environment of this checkout keeps the contract."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import envs
from envs.atari_env import AtariAction, AtariObservation
from envs.atari_env.server.environment import AtariEnvironment
from envs.browsergym_env import (
    BrowserGymAction,
    BrowserGymEnv,
    BrowserGymObservation,
    BrowserGymState,
)
from envs.chat_env import ChatAction, ChatObservation
from envs.chat_env.server.environment import ChatEnvironment
from envs.coding_env import CodeAction, CodeObservation
from envs.coding_env.server.environment import CodingEnvironment
from envs.echo_env import EchoAction, EchoObservation
from envs.echo_env.server.environment import EchoEnvironment
from envs.finrl_env import FinRLAction, FinRLObservation
from envs.finrl_env.server.environment import FinRLEnvironment
from envs.openspiel_env import OpenSpielAction, OpenSpielObservation
from envs.openspiel_env.server.environment import OpenSpielEnvironment
from envs.repl_env import REPLAction, REPLObservation
from envs.repl_env.server.environment import REPLEnvironment
from openenv.environment import Environment
from openenv.testing.contract import EnvironmentContract
from tests.browsergym_server import serving_browsers


class TestCodingEnv(EnvironmentContract):
    def make_environment(self) -> CodingEnvironment:
        return CodingEnvironment()

    def make_action(self, observation: CodeObservation) -> CodeAction:
        return CodeAction(code="import random\nrandom.random()")


class TestREPLEnv(EnvironmentContract):
    def make_environment(self) -> REPLEnvironment:
        return REPLEnvironment()

    def make_action(self, observation: REPLObservation) -> REPLAction:
        return REPLAction(code="x = len(context)\nx")


class TestEchoEnv(EnvironmentContract):
    def make_environment(self) -> EchoEnvironment:
        return EchoEnvironment()

    def make_action(self, observation: EchoObservation) -> EchoAction:
        return EchoAction(message=f"after {observation.echoed_message}")


class TestChatEnv(EnvironmentContract):
    def make_environment(self) -> ChatEnvironment:
        return ChatEnvironment()

    def make_action(self, observation: ChatObservation) -> ChatAction:
        return ChatAction(message=f"You said {observation.messages[-1]['content']}")


class TestAtariEnv(EnvironmentContract):
    def make_environment(self) -> AtariEnvironment:
        return AtariEnvironment(game_name="breakout")

    def make_action(self, observation: AtariObservation) -> AtariAction:
        return AtariAction(action_id=observation.legal_actions[-1])


class TestFinRLEnv(EnvironmentContract):
    def make_environment(self) -> FinRLEnvironment:
        return FinRLEnvironment()

    def make_action(self, observation: FinRLObservation) -> FinRLAction:
        return FinRLAction(actions=[0.5, -0.5] * 5)


class TestOpenSpielEnv(EnvironmentContract):
    def make_environment(self) -> OpenSpielEnvironment:
        return OpenSpielEnvironment("backgammon")

    def make_action(self, observation: OpenSpielObservation) -> OpenSpielAction:
        return OpenSpielAction(action_id=observation.legal_actions[0])


class ServedBrowser(Environment[BrowserGymAction, BrowserGymObservation, BrowserGymState]):
    """The browsergym environment of a server, since its libraries are not in this process."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, url: str) -> None:
        self._client = BrowserGymEnv(url).sync()

    def reset(self, seed: int | None = None) -> BrowserGymObservation:
        return self._client.reset(seed=seed, task_name="click-button").observation

    def step(self, action: BrowserGymAction) -> BrowserGymObservation:
        return self._client.step(action).observation

    @property
    def state(self) -> BrowserGymState:
        return self._client.state()

    def close(self) -> None:
        self._client.close()


@pytest.fixture(scope="module")
def browsers_url() -> Iterator[str]:
    with serving_browsers() as served:
        yield served.url


@pytest.mark.timeout(300)  # the first one may have to install BrowserGym
class TestBrowserGymEnv(EnvironmentContract):
    @pytest.fixture(autouse=True)
    def _served(self, browsers_url: str) -> None:
        self.url = browsers_url

    def make_environment(self) -> ServedBrowser:
        return ServedBrowser(self.url)

    def make_action(self, observation: BrowserGymObservation) -> BrowserGymAction:
        return BrowserGymAction(action_str="mouse_move(3, 3)")


@pytest.mark.parametrize(
    "folder", sorted(Path(envs.__path__[0]).glob("*_env")), ids=lambda f: f.name
)
def test_an_environment_of_this_checkout_is_held_to_the_contract(folder: Path) -> None:
    held = {
        cls.__name__.removeprefix("Test").lower() for cls in EnvironmentContract.__subclasses__()
    }
    assert folder.name.replace("_", "") in held
