# mypy: ignore-errors
# Run by an interpreter of its own, which has ray; the one that mypy sees has not.
# ruff: noqa: D101, D102, D103 - what these do is said once, here
"""Steps actors of the Ray that serve_ray runs: `load_ray.py awaited|waited`, an actor per session.

Awaited: a coroutine for each actor awaits its results. Waited: one loop asks `ray.wait` for the
next result, whoever has it. Announces {"versions"}, then answers the requests that closed_loop
describes.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager, contextmanager, redirect_stdout
from dataclasses import dataclass

# As in serve_ray.
os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}

import ray
import uvloop
from closed_loop import MESSAGE, Lane, answer_requests
from listening import announce, versions


@dataclass
class EchoObservation:
    echoed_message: str
    message_length: int = 0
    reward: float = 0.0
    done: bool = False


class EchoEnvironment:
    def reset(self):
        return EchoObservation("Echo environment ready!")

    def step(self, message):
        length = len(message)
        return EchoObservation(message, length, 0.1 * length)


@asynccontextmanager
async def awaited(url, sessions):
    with _actors(url, sessions) as actors:
        yield [_lane(actor) for actor in actors]


@asynccontextmanager
async def waited(url, sessions):
    with _actors(url, sessions) as actors:
        pending = {actor.step.remote(MESSAGE): actor for actor in actors}

        async def step():
            (ready,), _ = ray.wait(list(pending))
            actor = pending.pop(ready)
            observation = ray.get(ready)
            pending[actor.step.remote(MESSAGE)] = actor
            # The clock is on this event loop, too.
            await asyncio.sleep(0)
            return observation

        yield [Lane(step, check=_check(step))]
        ray.get(list(pending))


@contextmanager
def _actors(url, sessions):
    """Join the cluster and make the actors, which end with this driver."""
    os.environ["RAY_AUTH_TOKEN"], address = url.split("@")
    # Standard output is for answers, but what Ray has to say of its nodes is printed.
    with redirect_stdout(sys.stderr):
        ray.init(address=address, log_to_driver=False, logging_level="warning")
        try:
            actor_class = ray.remote(num_cpus=1)(EchoEnvironment)
            actors = [actor_class.remote() for _ in range(sessions)]
            ray.get([actor.reset.remote() for actor in actors])
            yield actors
        finally:
            ray.shutdown()


def _lane(actor):
    async def step():
        return await actor.step.remote(MESSAGE)

    return Lane(step, check=_check(step))


def _check(step):
    async def check():
        echoed = (await step()).echoed_message
        assert echoed == MESSAGE, f"the actor echoed {echoed!r}"

    return check


if __name__ == "__main__":
    announce({"versions": versions()})
    answer_requests({"awaited": awaited, "waited": waited}[sys.argv[1]], uvloop.run)
