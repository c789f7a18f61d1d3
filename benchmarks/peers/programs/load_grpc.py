# mypy: ignore-errors
# Run by an interpreter of its own, which has grpcio; the one that mypy sees has not.
# ruff: noqa: D103 - what these do is said once, here
"""Puts load on serve_grpc: `load_grpc.py stream|unary`, all sessions on one channel.

Announces {"versions"}, then answers the requests that closed_loop describes. Knows no openenv.
"""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager

import grpc
import uvloop
from closed_loop import MESSAGE, Lane, answer_requests
from listening import announce, versions

messages, services = grpc.protos_and_services("echo.proto")


@asynccontextmanager
async def stream(url, sessions):
    async with grpc.aio.insecure_channel(url) as channel:
        stub = services.EchoStub(channel)
        calls = [stub.Play() for _ in range(sessions)]
        for call in calls:
            await call.write(messages.Action())
            await call.read()
        yield [_lane(_streaming(call)) for call in calls]
        for call in calls:
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF


@asynccontextmanager
async def unary(url, sessions):
    async with grpc.aio.insecure_channel(url) as channel:
        stub = services.EchoStub(channel)
        names = [f"session-{number}" for number in range(sessions)]
        for name in names:
            await stub.Reset(messages.Session(id=name))
        yield [_lane(_calling(stub.Step, name)) for name in names]
        for name in names:
            await stub.Close(messages.Session(id=name))


def _streaming(call):
    async def step():
        await call.write(messages.Action(message=MESSAGE))
        return await call.read()

    return step


def _calling(method, name):
    async def step():
        return await method(messages.Action(session=name, message=MESSAGE))

    return step


def _lane(step):
    async def check():
        echoed = (await step()).echoed_message
        assert echoed == MESSAGE, f"the server echoed {echoed!r}"

    return Lane(step, check=check)


if __name__ == "__main__":
    announce({"versions": versions()})
    answer_requests({"stream": stream, "unary": unary}[sys.argv[1]], uvloop.run)
