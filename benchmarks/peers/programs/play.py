# mypy: ignore-errors
# Run by a published release's own interpreter, whose `openenv` is not the one mypy sees.
# ruff: noqa: D103 - names say it all, as in the tests
"""Plays scenarios against a server with a published release's clients; tells what they saw.

Each line {"scenario", "url"} is answered with one JSON object whose values are what the client
returned; an exception is {"raised": type, "message": text}. Judging them is the tests' part.
"""

from __future__ import annotations

import asyncio
from dataclasses import is_dataclass

from answering import answer_scenarios
from echo_client import EchoAction, EchoEnv

from openenv.core.generic_client import GenericAction, GenericEnvClient


def plain(value):
    """Return a result, observation or state as plain data."""
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if is_dataclass(value):
        return {name: plain(part) for name, part in vars(value).items()}
    return value


async def outcome_of(awaitable):
    try:
        return plain(await awaitable)
    except Exception as error:  # noqa: BLE001 - whatever is raised is what the test asks about
        return {"raised": type(error).__name__, "message": str(error)}


async def generic_episode(url):
    async with GenericEnvClient(base_url=url) as env:
        return {
            "reset": plain(await env.reset()),
            "step": plain(await env.step({"message": "Hello, World!"})),
            "generic_action": plain(await env.step(GenericAction(message="again"))),
            "state": plain(await env.state()),
        }


async def typed_episode(url):
    async with EchoEnv(base_url=url) as env:
        return {
            "reset": plain(await env.reset()),
            "step": plain(await env.step(EchoAction(message="Hello, World!"))),
            "state": plain(await env.state()),
        }


async def reset_options(url):
    async with GenericEnvClient(base_url=url) as env:
        return {
            "reset": plain(await env.reset(seed=7, episode_id="seventh", unheard_of=True)),
            "state": plain(await env.state()),
        }


async def bad_action(url):
    async with GenericEnvClient(base_url=url) as env:
        await env.reset()
        return {
            "bad": await outcome_of(env.step({"words": 1})),
            "after": await outcome_of(env.step({"message": "still here"})),
        }


async def raising_environment(url):
    async with GenericEnvClient(base_url=url) as env:
        await env.reset()
        return {
            "raising": await outcome_of(env.step({"message": "raise"})),
            "after": await outcome_of(env.step({"message": "still here"})),
        }


async def one_too_many(url):
    """For a server with room for one session."""
    async with GenericEnvClient(base_url=url) as first:
        await first.reset()
        second = GenericEnvClient(base_url=url)
        try:
            refused = await outcome_of(second.connect())
            if not (isinstance(refused, dict) and "raised" in refused):
                refused = await outcome_of(second.reset())
        finally:
            await outcome_of(second.close())
        return {"refused": refused, "first": plain(await first.step({"message": "mine"}))}


async def slot_freed_by_close(url):
    """For a server with room for one session: several are played and closed, one after another."""
    return {"lengths": [await length_when_free(url, message) for message in ("a", "bb", "ccc")]}


async def length_when_free(url, message):
    """Closing is not acknowledged, so the next session may have to ask again."""
    async with asyncio.timeout(10):
        while True:
            async with GenericEnvClient(base_url=url) as env:
                if "raised" not in await outcome_of(env.reset()):
                    return (await env.step({"message": message})).observation["message_length"]


async def many_sessions(url):
    async def play(number):
        async with EchoEnv(base_url=url) as env:
            await env.reset()
            for _ in range(number):
                await env.step(EchoAction(message="x" * number))
            return (await env.state()).step_count

    return {"step_counts": await asyncio.gather(*(play(number) for number in range(1, 9)))}


def sync_episode(url):
    with GenericEnvClient(base_url=url).sync() as env:
        return {
            "reset": plain(env.reset()),
            "step": plain(env.step({"message": "Hello, World!"})),
            "state": plain(env.state()),
        }


if __name__ == "__main__":
    answer_scenarios(
        generic_episode,
        typed_episode,
        reset_options,
        bad_action,
        raising_environment,
        one_too_many,
        slot_freed_by_close,
        many_sessions,
        sync_episode,
    )
