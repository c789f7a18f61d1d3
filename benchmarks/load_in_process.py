"""Steps echo environments in this process, by calling their methods: what serving is added to.

`python -m benchmarks.load_in_process` announces {"versions"}, then answers the requests that
closed_loop.py of the peers describes. Knows neither server nor client.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import uvloop

from benchmarks.peers.programs.closed_loop import MESSAGE, Lane, answer_requests
from benchmarks.peers.programs.listening import announce, versions
from envs.echo_env import EchoAction
from envs.echo_env.server.environment import EchoEnvironment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_ROUNDS = 100
"Between two looks at the clock, which is on the same event loop; a look costs more than a step."


@asynccontextmanager
async def in_process(url: str, sessions: int) -> AsyncIterator[list[Lane]]:
    """Step one environment after the other."""
    environments = [EchoEnvironment() for _ in range(sessions)]
    for environment in environments:
        environment.reset()

    async def step() -> None:
        for _ in range(_ROUNDS):
            for environment in environments:
                environment.step(EchoAction(message=MESSAGE))
        await asyncio.sleep(0)

    async def check() -> None:
        echoed = environments[0].step(EchoAction(message=MESSAGE)).echoed_message
        if echoed != MESSAGE:
            raise RuntimeError(f"the environment echoed {echoed!r}")

    yield [Lane(step, episodes=sessions * _ROUNDS, check=check)]


def main() -> None:
    """Serve requests until standard input ends."""
    announce({"versions": versions()})
    answer_requests(in_process, uvloop.run)


if __name__ == "__main__":
    main()
