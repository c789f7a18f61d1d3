"""What a server does: episodes with drawn actions, over each transport, alone and side by side."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from openenv.cli.validation.players import (
    HttpPlayer,
    LegacyPlayer,
    PlayedEpisode,
    Refused,
    WebSocketPlayer,
    play,
)
from openenv.cli.validation.report import CheckFailed, NotApplicable
from openenv.client.link.dialing import dial
from openenv.errors import OpenEnvError, PayloadError, SessionCapacityError
from openenv.payloads.schema import properties, required
from openenv.rollout.sampler import ActionSampler

if TYPE_CHECKING:
    from openenv.cli.validation.endpoints import Endpoints
    from openenv.cli.validation.players import EpisodePlayer, Seen

SEED, OTHER_SEED = 7, 8
END_TURNS = 200
"How long to look for an episode's end, if it does not come in an ordinary one."
_POLL_S = 0.05
_WRONG: dict[str, Any] = {"string": {}, "integer": "x", "number": "x", "boolean": "x", "array": 7}
"Values that are none of their type."


class Episodes:
    """The checks. They are called in order: later ones compare with what earlier ones have seen."""

    def __init__(self, url: str, endpoints: Endpoints, *, timeout_s: float, max_turns: int) -> None:
        self._url = url
        self._endpoints = endpoints
        self._timeout_s = timeout_s
        self._max_turns = max_turns
        self._first: PlayedEpisode | None = None
        "Of SEED, over WebSocket."
        self._is_deterministic = False
        self._counts_steps = False
        self._played: list[tuple[str, PlayedEpisode]] = []

    # ---- over each transport

    async def over_ws(self) -> str:
        """Play the episode that others are compared with."""
        self._schema("action")
        began_s = time.monotonic()
        async with self._player() as player:
            first = await self._play("WebSocket", player)
        steps, faults = len(first.actions), first.faults
        if faults and len(faults) == steps:
            raise CheckFailed(f"every step raised: {faults[0]}")
        self._first = first
        each_ms = 1000 * (time.monotonic() - began_s) / max(1, steps)
        ending = "over" if first.is_over else "not over yet"
        spoken = await self._dialect()
        return f"{steps} steps, {each_ms:.1f} ms each; {ending}; {spoken}"

    async def without_faults(self) -> str:
        """See whether the environment raised."""
        first = self._need_first()
        faults = first.faults
        if faults:
            raise CheckFailed(
                f"{len(faults)} of {len(first.actions)} steps raised: {faults[0]}. Narrow the "
                "action's schema, or observe what was wrong"
            )
        return f"{len(first.actions)} actions"

    async def twice(self) -> str:
        """Play it again: in another session, and after another episode."""
        first = self._need_first()
        async with self._player() as player:
            other = await self._play("WebSocket", player, OTHER_SEED)
            again = await self._play("WebSocket", player)
        async with self._player() as player:
            elsewhere = await self._play("WebSocket", player)
        for episode, where in (
            (elsewhere, "in another session"),
            (again, "after another episode"),
        ):
            difference = first.difference(episode)
            if difference is not None:
                raise CheckFailed(f"seed {SEED} plays otherwise {where}: {difference}")
        self._is_deterministic = True
        is_ignored = first.seen[0] == other.seen[0]
        return "another seed begins alike" if is_ignored else "another seed begins otherwise"

    async def over_legacy(self) -> str:
        """Play it as existing clients do."""
        self._need_first()
        async with LegacyPlayer(self._url, self._timeout_s) as player:
            return self._compare(await self._play("the legacy dialect", player))

    async def over_http(self) -> str:
        """Play it over HTTP."""
        self._need_first()
        if self._endpoints.mode == "production":
            raise NotApplicable("in production mode no episodes are played over HTTP")
        async with HttpPlayer(self._url, self._timeout_s) as player:
            episode = await self._play("HTTP", player)
        if not self._is_own_server():
            # Of the published releases, each request has an environment of its own.
            return f"{len(episode.actions)} steps"
        return self._compare(episode)

    def _compare(self, episode: PlayedEpisode) -> str:
        difference = self._need_first().difference(episode)
        if self._is_deterministic and difference is not None:
            raise CheckFailed(f"it is another episode than over WebSocket: {difference}")
        same = "as over WebSocket" if self._is_deterministic else "not to be compared"
        return f"{len(episode.actions)} steps, {same}"

    # ---- what was seen

    async def observations_fit(self) -> str:
        """Hold every observation against the schema."""
        schema = self._schema("observation")
        self._need_first()
        count = 0
        for transport, episode in self._played:
            for number, seen in enumerate(episode.seen):
                if seen.fault is None:
                    what = f"step {number}" if number else "reset"
                    where = f"{what}, over {transport}"
                    self._validate(schema, _put_back(seen, schema), where)
                    count += 1
        return f"{count} observations"

    async def rewards_fit(self) -> str:
        """See whether whoever learns from the rewards can add them up."""
        self._need_first()
        rewards = [seen.reward for _, episode in self._played for seen in episode.seen]
        wrong = [reward for reward in rewards if not isinstance(reward, int | float | None)]
        if wrong:
            raise CheckFailed(f"{wrong[0]!r} is no reward")
        numbers = [reward for reward in rewards if reward is not None]
        return f"from {min(numbers):g} to {max(numbers):g}" if numbers else "none at all"

    async def state_fits(self) -> str:
        """Hold the state against its schema, after reset and after a step."""
        schema = self._schema("state")
        self._need_first()
        counts = []
        async with self._player() as player:
            begun = await player.reset(SEED)
            draw = ActionSampler(self._schema("action")).for_episode("", SEED)
            for what in ("reset", "a step"):
                if what == "a step":
                    await player.step(draw(begun.observation))
                state = await player.state()
                self._validate(schema, state, f"the state after {what}")
                counts.append(state.get("step_count") if isinstance(state, dict) else None)
        if counts[0] is None:
            return "without a step_count"
        if counts != [0, 1]:
            raise CheckFailed(
                f"step_count is {counts[0]} after reset and {counts[1]} after a step",
                expected=[0, 1],
                actual=counts,
            )
        self._counts_steps = True
        return "step_count counts"

    def _validate(self, schema: dict[str, Any], value: Any, where: str) -> None:
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            raise CheckFailed(f"the schema itself is none: {error.message}") from error
        wrong = next(iter(Draft202012Validator(schema).iter_errors(value)), None)
        if wrong is not None:
            raise CheckFailed(f"{where}: at {wrong.json_path}: {wrong.message}"[:300])

    # ---- the end of an episode

    async def reset_after_end(self) -> str:
        """Play to the end, then begin again, with the same seed."""
        first = self._need_first()
        async with self._player() as player:
            episode = await self._to_the_end(player)
            begun = await player.reset(SEED)
            if begun.is_over:
                raise CheckFailed("reset returns an observation that is done")
            if self._is_deterministic and begun != first.seen[0]:
                raise CheckFailed("reset begins otherwise than in a new session")
            draw = ActionSampler(self._schema("action")).for_episode("", SEED)
            await player.step(draw(begun.observation))
        return "" if episode.is_over else f"after {len(episode.actions)} steps that did not end it"

    async def step_after_end(self) -> str:
        """Act once more after the end, and then begin again."""
        self._need_first()
        async with self._player() as player:
            episode = await self._to_the_end(player)
            if not (episode.is_over and episode.actions):
                raise NotApplicable(f"no end within {len(episode.actions)} steps")
            try:
                seen = await player.step(episode.actions[-1])
            except OpenEnvError as error:
                return f"{error.code}"
        if seen.fault is None and not seen.is_over:
            raise CheckFailed("a step after the end goes on as if there had been none")
        return "an error" if seen.fault is not None else "the end again"

    async def _to_the_end(self, player: EpisodePlayer) -> PlayedEpisode:
        """Play until an episode ends; its first seed if that one has."""
        turns = self._max_turns if self._need_first().is_over else max(END_TURNS, self._max_turns)
        return await play(player, self._schema("action"), SEED, turns)

    async def bad_action(self) -> str:
        """Send something that is no action, and then one that is."""
        self._need_first()
        schema = self._schema("action")
        draw = ActionSampler(schema).for_episode("", SEED)
        bad = _spoiled(schema, draw())
        if bad is None:
            raise NotApplicable("every object is an action here")
        async with self._player() as player:
            begun = await player.reset(SEED)
            try:
                seen = await player.step(bad)
            except (PayloadError, Refused) as error:
                refusal = str(error)
            else:
                raise CheckFailed(
                    f"{bad} was not refused"
                    + (f" but made the environment raise: {seen.fault}" if seen.fault else "")
                )
            await player.step(draw(begun.observation))
        return refusal

    # ---- sessions

    async def side_by_side(self) -> str:
        """Play the episode again while another session plays something else."""
        first = self._need_first()
        if self._endpoints.health.get("max_sessions") == 1:
            raise NotApplicable("there is one session at a time")
        schema = self._schema("action")
        disturb = ActionSampler(schema).for_episode("", OTHER_SEED)
        try:
            async with self._player(wait_s=0.0) as player, self._player(wait_s=0.0) as other:
                seen = [await player.reset(SEED)]
                beside = await other.reset(OTHER_SEED)
                for number, action in enumerate(first.actions):
                    beside = await other.step(disturb(beside.observation))
                    if beside.is_over or number == len(first.actions) // 2:
                        beside = await other.reset(OTHER_SEED + number)
                    seen.append(await player.step(action))
                state = await player.state()
        except SessionCapacityError as error:
            raise NotApplicable(f"no two sessions at once: {error}") from error
        again = PlayedEpisode(SEED, seen, first.actions)
        taken = len(first.actions) - len(again.faults)
        if self._counts_steps and state["step_count"] != taken:
            raise CheckFailed(
                f"after {taken} steps beside another session, step_count is {state['step_count']}"
            )
        if not self._is_deterministic:
            raise NotApplicable("needs deterministic_episodes")
        difference = first.difference(again)
        if difference is not None:
            raise CheckFailed(f"another session changes the episode: {difference}")
        return f"{len(first.actions)} steps of each, alternating"

    async def close_frees(self) -> str:
        """Count sessions before, during and after one."""
        self._need_first()
        before = await self._active()
        if before is None:
            raise NotApplicable("/health does not say how many sessions there are")
        async with self._player() as player:
            await player.reset(SEED)
            during = await self._active()
        try:
            async with asyncio.timeout(self._timeout_s):
                # Of another process there is nothing to wait for but its word.
                while (after := await self._active() or 0) > before:  # noqa: ASYNC110
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise CheckFailed(
                f"{before} sessions before, {during} during, and still {after} after it was closed"
            ) from None
        return f"{before} sessions before, {during} during, {after} after"

    async def _active(self) -> int | None:
        await self._endpoints.check_health()
        count = self._endpoints.health.get("active_sessions")
        return count if isinstance(count, int) else None

    # ---- what checks need

    def _player(self, wait_s: float | None = None) -> WebSocketPlayer:
        # The place of the session before may be free only in a moment.
        wait_s = self._timeout_s if wait_s is None else wait_s
        return WebSocketPlayer(self._url, self._timeout_s, wait_s)

    async def _play(self, transport: str, player: EpisodePlayer, seed: int = SEED) -> PlayedEpisode:
        episode = await play(player, self._schema("action"), seed, self._max_turns)
        self._played.append((transport, episode))
        return episode

    async def _dialect(self) -> str:
        dialed = await dial(self._url, connect_timeout_s=self._timeout_s, max_message_bytes=1 << 20)
        await dialed.channel.aclose()
        return f"speaks {dialed.subprotocol or 'the legacy dialect alone'}"

    def _is_own_server(self) -> bool:
        return "active_sessions" in self._endpoints.health

    def _schema(self, name: str) -> dict[str, Any]:
        schema = self._endpoints.schemas.get(name)
        if not isinstance(schema, dict):
            raise NotApplicable("needs schema_endpoint")
        return schema

    def _need_first(self) -> PlayedEpisode:
        if self._first is None:
            raise NotApplicable("needs websocket_episode")
        return self._first


def _put_back(seen: Seen, schema: dict[str, Any]) -> Any:
    """Return an observation with what travels beside it, as far as its schema has it."""
    if not isinstance(seen.observation, dict):
        return seen.observation
    beside = {"reward": seen.reward, "done": seen.is_over}
    if seen.reward is None and "reward" not in required(schema):
        # Not given: then the field has its default, which need not be null.
        del beside["reward"]
    fields = properties(schema)
    present = {name: value for name, value in beside.items() if name in fields}
    return {**present, **seen.observation}


def _spoiled(schema: dict[str, Any], action: Any) -> Any:
    """Return an action with one value of the wrong type; None if there is no field to spoil."""
    if not isinstance(action, dict):
        return None
    for name, field in properties(schema).items():
        if isinstance(field, dict) and field.get("type") in _WRONG:
            return {**action, name: _WRONG[field["type"]]}
    needed = required(schema)
    return {name: action[name] for name in action if name != needed[0]} if needed else None
