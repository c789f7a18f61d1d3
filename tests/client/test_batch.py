"""Steps of many sessions to frames, and their replies to results."""

from typing import Any

import msgspec
import pytest

from openenv.client.batch import payloads_of, read_batch, send_steps
from openenv.client.env import EnvClient
from openenv.client.link.requests import BatchSink
from openenv.errors import EnvironmentFault, OpenEnvError, to_wire
from openenv.models import State, StepResult
from openenv.protocol.columns import STEPS
from openenv.protocol.frames import SUBPROTOCOL_MSGPACK, Error, Result, Results, Step, Steps
from openenv.protocol.wire import WIRES
from tests.client.test_session import Link
from tests.environments import Add, Total

WIRE = WIRES[SUBPROTOCOL_MSGPACK]


class CounterEnv(EnvClient[Add, Total, State]):
    pass


class Hooked(CounterEnv):
    def _step_payload(self, action: Add) -> dict[str, Any]:
        return {"hooked": action.amount}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[Any]:
        return StepResult(payload["observation"]["total"])


class SendingLink(Link):
    """Remembers what was sent."""

    def __init__(self, *capabilities: str) -> None:
        super().__init__()
        self.capabilities = capabilities
        self.frames: list[Any] = []

    def send_many(self, sessions: Any, frames: Any, timeout_s: float, sink: Any) -> str:
        self.frames += frames
        return "requests"


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(value))


def clients(cls: Any, count: int) -> list[Any]:
    return [cls("http://127.0.0.1:9", link=Link()) for _ in range(count)]


def batch_of(*frames: Any, ids: list[int]) -> BatchSink:
    batch = BatchSink(len(ids))
    batch.ids = ids
    for frame in frames:
        (batch.on_columns if isinstance(frame, Results) else batch.on_reply)(frame)
    assert batch.done.done()
    return batch


def columns(ids: list[int], totals: list[int]) -> Results:
    observations = raw([{"total": total} for total in totals])
    flags = [False] * len(ids)
    return Results(ids, observations, [float(total) for total in totals], flags, flags)


@pytest.mark.parametrize(
    ("capabilities", "kinds"), [((), [Step, Step]), ((STEPS,), [Steps])], ids=["older", "newer"]
)
async def test_steps_share_a_frame_where_the_server_takes_it(
    capabilities: tuple[str, ...], kinds: list[type]
) -> None:
    link, batch = SendingLink(*capabilities), BatchSink(2)
    sent: Any = send_steps(link, [5, 6], [{"a": 1}, {"a": 2}], None, 60, batch)  # type: ignore[arg-type]
    assert sent == "requests"
    assert ([type(frame) for frame in link.frames], batch.ids) == (kinds, [1, 2])


def test_hooks_make_payloads_and_other_actions_are_sent_as_they_are() -> None:
    actions = [Add(1), Add(2)]
    assert payloads_of(clients(CounterEnv, 2), actions) == actions
    mixed = [*clients(CounterEnv, 1), *clients(Hooked, 1)]
    assert payloads_of(mixed, actions) == [Add(1), {"hooked": 2}]


@pytest.mark.parametrize(
    ("cls", "observed"), [(CounterEnv, [Total(3, 3.0), Total(4, 4.0)]), (Hooked, [3, 4])]
)
async def test_columns_become_a_result_for_each_client(cls: Any, observed: list[Any]) -> None:
    batch = batch_of(columns([1, 2], [3, 4]), ids=[1, 2])
    results: Any = read_batch(batch, clients(cls, 2), WIRE)
    assert [result.observation for result in results] == observed


async def test_replies_come_back_in_the_order_of_the_clients_however_they_came() -> None:
    fault = Error(2, *to_wire(EnvironmentFault("its own")))
    single = Result(4, raw({"total": 4}), 4.0)
    batch = batch_of(single, columns([1, 3], [1, 3]), fault, ids=[1, 2, 3, 4])
    first, failed, third, fourth = read_batch(batch, clients(CounterEnv, 4), WIRE)
    assert [
        result.reward for result in (first, third, fourth) if not isinstance(result, OpenEnvError)
    ] == [1.0, 3.0, 4.0]
    assert isinstance(failed, EnvironmentFault)


async def test_an_observation_that_cannot_be_read_fails_its_own_client_only() -> None:
    observations = raw([{"total": 1}, {"total": "many"}])
    frame = Results([1, 2], observations, [1.0, 2.0], [False] * 2, [False] * 2)
    good, bad = read_batch(batch_of(frame, ids=[1, 2]), clients(CounterEnv, 2), WIRE)
    assert isinstance(good, StepResult)
    assert isinstance(bad, OpenEnvError)
