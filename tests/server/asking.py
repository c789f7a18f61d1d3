"""Asking a server over HTTP: what the tests of the fallback share."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from openenv.app import create_app
from openenv.client.env import EnvClient
from openenv.models import State
from tests.environments import Add, Total
from tests.patience import patient, within
from tests.serving import serving


class CounterEnv(EnvClient[Add, Total, State]):
    pass


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client that keeps cookies."""
    async with httpx.AsyncClient(base_url=url, timeout=patient(20)) as client:
        yield client


@asynccontextmanager
async def served(env: Any, **options: Any) -> AsyncIterator[tuple[httpx.AsyncClient, Any]]:
    """A client, and the registry of the server that it talks to."""
    app = create_app(env, **options)
    async with serving(app) as url, client_of(url) as client:
        yield client, app.state.registry


async def nameless(client: httpx.AsyncClient, method: str, path: str, **options: Any) -> Any:
    """A request like curl's: without the cookie that came before."""
    client.cookies.clear()
    return await client.request(method, path, **options)


def add(amount: Any, **more: Any) -> dict[str, Any]:
    """The body of a step of a Counter."""
    return {"action": {"amount": amount}, **more}


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for what nothing announces."""
    async with within(10):
        while not is_so():
            await asyncio.sleep(0.005)
