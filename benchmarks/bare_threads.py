"""The floor under environments on threads: threads that sleep, and hand over to an event loop.

`python -m benchmarks.bare_threads COUNT SECONDS` announces {"steps", "elapsed_s", "cpu_s"}: of
COUNT threads that each sleep as a step of `placed.Sleep` does, are told by the loop to do it again,
and nothing else. No frame, no client, no session.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import deque
from queue import SimpleQueue

import uvloop

from benchmarks.peers.programs.listening import announce
from benchmarks.placed import SLEEP_S

_WARMUP_S = 0.3


class Threads:
    """Threads in a circle with the event loop."""

    def __init__(self, count: int) -> None:
        self.steps = 0
        self._loop = asyncio.get_running_loop()
        self._ready: deque[SimpleQueue[bool]] = deque()
        self._is_scheduled = False
        self._queues: list[SimpleQueue[bool]] = [SimpleQueue() for _ in range(count)]
        for queue in self._queues:
            threading.Thread(target=self._sleep, args=(queue,), daemon=True).start()
            queue.put(True)

    def _sleep(self, queue: SimpleQueue[bool]) -> None:
        while queue.get():
            time.sleep(SLEEP_S)
            self._ready.append(queue)
            # As the server's threads do: one wake-up for all that are ready.
            if not self._is_scheduled:
                self._is_scheduled = True
                self._loop.call_soon_threadsafe(self._turn)

    def _turn(self) -> None:
        self._is_scheduled = False
        while self._ready:
            self.steps += 1
            self._ready.popleft().put(True)

    def stop(self) -> None:
        """Let each thread end after its step."""
        for queue in self._queues:
            queue.put(False)


async def main(count: int, window_s: float) -> None:
    """Measure and announce."""
    threads = Threads(count)
    await asyncio.sleep(_WARMUP_S)
    steps, began_s, cpu_s = threads.steps, time.perf_counter(), time.process_time()
    await asyncio.sleep(window_s)
    announce(
        {
            "steps": threads.steps - steps,
            "elapsed_s": time.perf_counter() - began_s,
            "cpu_s": time.process_time() - cpu_s,
        }
    )
    threads.stop()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
