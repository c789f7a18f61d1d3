"""A vector over servers that answer in any order: each step that was sent is received once."""

import asyncio
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from hypothesis import given, settings
from hypothesis import strategies as st

from openenv.client.env import EnvClient
from openenv.client.vector.client import VectorClient
from openenv.environment import Environment
from openenv.models import State
from openenv.rollout.source import in_process
from tests.patience import patient, within

COUNT = 5


@dataclass
class Go:
    number: int


@dataclass
class Seen:
    who: int
    steps: int
    number: int
    reward: float = 0.0


class Gated(Environment[Go, Seen, State]):
    """Has a thread of its own, on which it steps when its gate is opened."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    gates: ClassVar[list[threading.Semaphore]]

    def reset(self, seed: int = 0) -> Seen:
        self.who, self.steps = seed, 0
        return Seen(self.who, 0, 0)

    def step(self, action: Go) -> Seen:
        assert Gated.gates[self.who].acquire(timeout=patient(20))
        self.steps += 1
        return Seen(self.who, self.steps, action.number, reward=float(action.number))


class GatedEnv(EnvClient[Go, Seen, State]):
    """The client of Gated."""


class Model:
    """What was sent to each session, and received from it."""

    def __init__(self, vector: VectorClient) -> None:
        self.vector = vector
        self.sent = [0] * COUNT
        self.received = [0] * COUNT
        self.opened: set[int] = set()
        "Sessions that are in flight, and may answer."

    @property
    def in_flight(self) -> set[int]:
        return {i for i in range(COUNT) if self.sent[i] > self.received[i]}

    async def send(self, chosen: Iterable[int]) -> None:
        ids = [index for index in chosen if index not in self.in_flight]
        if ids:
            for index in ids:
                self.sent[index] += 1
            await self.vector.send([Go(self.sent[index]) for index in ids], ids)

    def open(self, chosen: Iterable[int]) -> None:
        for index in chosen:
            if index in self.in_flight - self.opened:
                self.opened.add(index)
                Gated.gates[index].release()

    async def receive(self, at_most: int) -> None:
        count = min(at_most, len(self.opened))
        if not count:
            return
        seen, rewards, _, _, infos = await self.vector.recv(count)
        ids = infos["env_id"].tolist()
        assert len(set(ids)) == count
        assert self.opened.issuperset(ids)
        for place, index in enumerate(ids):
            self.received[index] += 1
            assert seen["who"][place] == index
            assert seen["steps"][place] == seen["number"][place] == self.received[index]
            assert rewards[place] == self.received[index]
        self.opened -= set(ids)
        assert self.vector.in_flight == sorted(self.in_flight)


some = st.lists(st.integers(0, COUNT - 1), unique=True)
moves = st.one_of(
    st.tuples(st.just("send"), some),
    st.tuples(st.just("open"), some),
    st.tuples(st.just("receive"), st.integers(1, COUNT)),
)


async def play(connections: int, plan: list[tuple[str, list[int] | int]]) -> None:
    Gated.gates = [threading.Semaphore(0) for _ in range(COUNT)]
    async with (
        within(20),
        in_process(Gated, connections) as pool,
        pool.vector(COUNT, GatedEnv) as vector,
    ):
        await vector.reset(seed=0)
        model = Model(vector)
        for move, argument in plan:
            if isinstance(argument, int):
                await model.receive(argument)
            elif move == "send":
                await model.send(argument)
            else:
                model.open(argument)
        model.open(model.in_flight)
        await model.receive(COUNT)
        assert model.sent == model.received
        assert vector.in_flight == []


@settings(max_examples=40)
@given(connections=st.integers(1, 3), plan=st.lists(moves, max_size=30))
def test_each_step_is_received_once_in_whichever_order_they_are_answered(
    connections: int, plan: list[tuple[str, list[int] | int]]
) -> None:
    asyncio.run(play(connections, plan))
