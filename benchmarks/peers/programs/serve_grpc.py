# mypy: ignore-errors
# Run by an interpreter of its own, which has grpcio; the one that mypy sees has not.
# ruff: noqa: D101, D102, D103 - the methods are those of echo.proto
"""Serves the echo environment over gRPC, on asyncio: a stream for each session, and single calls.

Announces {"url", "versions"} once it listens on a free port of the loopback. Knows no openenv.
"""

from __future__ import annotations

import grpc
import uvloop
from listening import announce, versions

messages, services = grpc.protos_and_services("echo.proto")


class EchoEnvironment:
    def reset(self):
        return messages.Observation(echoed_message="Echo environment ready!")

    def step(self, message):
        length = len(message)
        return messages.Observation(
            echoed_message=message, message_length=length, reward=0.1 * length
        )


class EchoService(services.EchoServicer):
    def __init__(self):
        self._environments = {}

    async def Play(self, request_iterator, context):
        environment = EchoEnvironment()
        read, write = context.read, context.write
        await read()
        await write(environment.reset())
        while (action := await read()) is not grpc.aio.EOF:
            await write(environment.step(action.message))

    async def Reset(self, request, context):
        environment = self._environments[request.id] = EchoEnvironment()
        return environment.reset()

    async def Step(self, request, context):
        return self._environments[request.session].step(request.message)

    async def Close(self, request, context):
        del self._environments[request.id]
        return request


async def main():
    server = grpc.aio.server()
    services.add_EchoServicer_to_server(EchoService(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    announce({"url": f"127.0.0.1:{port}", "versions": versions()})
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(main())
