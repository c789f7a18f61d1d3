"""Plays episodes on our server with our client, and says how: `python -m tests.compat.play_ours`.

For interpreters that have other versions of the libraries than the tests' own.
"""

import logging
import queue
import threading

from benchmarks.peers.programs.listening import announce, versions
from envs.echo_env import EchoAction, EchoEnv, EchoObservation
from envs.echo_env.server.environment import EchoEnvironment
from openenv.app import create_app
from openenv.server.links.uvicorn_socket import SessionSocket
from openenv.server.serve import DrainingServer, listening, url_of
from tests.patience import patient

# The last ones are not read, written or framed in one piece.
LENGTHS = (1, 125, 126, 70_000, 1_000_000)


class Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.loggers: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.loggers.append(record.name)


def play(url: str) -> list[int]:
    with EchoEnv(base_url=url).sync() as env:
        env.reset()
        replies = [env.step(EchoAction(message="x" * length)) for length in LENGTHS]
        return [reply.observation.message_length for reply in replies]


def main() -> None:
    warnings = Warnings()
    logging.getLogger().addHandler(warnings)
    app = create_app(EchoEnvironment, EchoAction, EchoObservation, "echo")
    is_ready: queue.SimpleQueue[str] = queue.SimpleQueue()
    with listening("127.0.0.1", 0) as listener:
        server = DrainingServer(app, url_of(listener), ready=is_ready.put)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            lengths = play(is_ready.get(timeout=patient(30)))
        finally:
            server.should_exit = True
            thread.join()
    announce(
        {
            "versions": versions(),
            "is_direct": server.config.ws is SessionSocket,
            "warnings": warnings.loggers,
            "lengths": lengths,
        }
    )


if __name__ == "__main__":
    main()
