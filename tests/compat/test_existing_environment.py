"""An environment as existing ones are written, on pydantic models, works unchanged."""

from typing import Any
from uuid import uuid4

import httpx
import pydantic
import pytest

from openenv.core.client_types import StepResult
from openenv.core.env_client import EnvClient
from openenv.core.env_server.http_server import create_app, create_fastapi_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, EnvironmentMetadata, Observation, State
from openenv.core.generic_client import GenericEnvClient
from openenv.errors import PayloadError
from tests.serving import serving


class GuessAction(Action):
    number: int


class GuessObservation(Observation):
    hint: str


class GuessState(State):
    tries: list[int] = pydantic.Field(default_factory=list)


class GuessEnvironment(Environment):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> Any:
        self._state = GuessState(episode_id=episode_id or str(uuid4()), step_count=0)
        self._secret = (seed or 0) % 10
        return GuessObservation(hint="between 0 and 9", done=False, reward=0.0)

    def step(self, action: GuessAction, timeout_s: float | None = None, **kwargs: Any) -> Any:
        self._state.step_count += 1
        self._state.tries.append(action.number)
        found = action.number == self._secret
        hint = "found" if found else "higher" if action.number < self._secret else "lower"
        return GuessObservation(hint=hint, done=found, reward=1.0 if found else 0.0)

    @property
    def state(self) -> GuessState:
        return self._state

    def get_metadata(self) -> EnvironmentMetadata:
        return EnvironmentMetadata(name="guess", description="Find the number", version="1.0.0")


class GuessClient(EnvClient[GuessAction, GuessObservation, GuessState]):
    def _step_payload(self, action: GuessAction) -> dict[str, Any]:
        return {"number": action.number}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[GuessObservation]:
        observation = GuessObservation(**payload["observation"], reward=payload.get("reward"))
        return StepResult(
            observation=observation, reward=payload.get("reward"), done=payload.get("done", False)
        )

    def _parse_state(self, payload: dict[str, Any]) -> GuessState:
        return GuessState(**payload)


class TypedGuessClient(EnvClient[GuessAction, GuessObservation, GuessState]):
    """Leaves the parsing to openenv."""


@pytest.mark.parametrize("client", [GuessClient, TypedGuessClient])
async def test_an_episode_on_pydantic_models(client: type[EnvClient[Any, Any, Any]]) -> None:
    app = create_app(GuessEnvironment, GuessAction, GuessObservation, env_name="guess")
    async with serving(app) as url, client(base_url=url) as env:
        assert (await env.reset(seed=7, episode_id="one")).observation.hint == "between 0 and 9"
        assert (await env.step(GuessAction(number=3))).observation.hint == "higher"
        last = await env.step(GuessAction(number=7))
        assert isinstance(last.observation, GuessObservation)
        assert (last.observation.hint, last.reward, last.done) == ("found", 1.0, True)
        state = await env.state()
        assert isinstance(state, GuessState)
        assert (state.episode_id, state.step_count, state.tries) == ("one", 2, [3, 7])


async def test_an_episode_in_a_fastapi_app_with_routes_of_its_own() -> None:
    app = create_fastapi_app(GuessEnvironment, GuessAction, GuessObservation, max_concurrent_envs=2)

    @app.get("/hint")
    def hint() -> dict[str, int]:
        return {"secret": 7}

    async with serving(app) as url, httpx.AsyncClient(base_url=url) as http:
        assert (await http.get("/hint")).json() == {"secret": 7}
        assert (await http.get("/openapi.json")).json()["info"]["title"] == "GuessEnvironment"
        assert (await http.get("/health")).json()["max_sessions"] == 2
        async with TypedGuessClient(base_url=url) as env:
            await env.reset(seed=7)
            assert (await env.step(GuessAction(number=7))).done


async def test_a_field_too_many_is_a_payload_error_with_its_path() -> None:
    app = create_app(GuessEnvironment, GuessAction, GuessObservation)
    async with serving(app) as url, GenericEnvClient(base_url=url) as env:
        await env.reset(seed=7)
        with pytest.raises(PayloadError) as error:
            await env.step({"number": 3, "colour": "red"})
        assert error.value.path == ".colour"
        assert (await env.step({"number": 3})).observation["hint"] == "higher"


def test_the_models_stay_pydantic_models() -> None:
    with pytest.raises(pydantic.ValidationError):
        GuessAction(number="many")
