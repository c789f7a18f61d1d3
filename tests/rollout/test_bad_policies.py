"""Policies that hang, raise or return nonsense fail their own episodes, and nothing else."""

import asyncio
import functools
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from openenv.environment import Environment
from openenv.models import State
from openenv.recording import read
from openenv.rollout.collect import POLICY_FAILED, collect
from openenv.rollout.policy import Completion, PolicyFailed, acting
from tests.patience import patient, within
from tests.processes import ENVIRON


class Numbered(Environment[dict[str, Any], dict[str, Any], State]):
    """Shows its seed until the third step."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "inline"

    def reset(self, seed: int | None = None) -> dict[str, Any]:
        self.seed, self.count = seed, 0
        return {"seed": seed, "count": 0}

    def step(self, action: dict[str, Any]) -> dict[str, Any]:
        self.count += 1
        return {"seed": self.seed, "count": self.count, "reward": 1.0, "done": self.count == 3}


class Hanging:
    """Of all calls, in each form that a policy may have, one never comes back by itself."""

    def __init__(self, number: int = 5) -> None:
        self.number = number
        self.calls = 0
        self.released = threading.Event()
        self.cancelled = 0

    def is_last(self) -> bool:
        self.calls += 1
        return self.calls == self.number

    def plain(self, observation: Any) -> Any:
        if self.is_last():
            self.released.wait(patient(20))
        return {}

    async def cancellable(self, observation: Any) -> Any:
        if self.is_last():
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        return {}

    def batched(self, observations: list[Any]) -> list[Any]:
        return [self.plain(None)] * len(observations)

    async def batched_async(self, observations: list[Any]) -> list[Any]:
        return [await self.cancellable(None)] * len(observations)

    def returning_awaitables(self, observation: Any) -> Any:
        return self.cancellable(observation)


@contextmanager
def hanging() -> Iterator[Hanging]:
    """A policy whose thread is let go in the end."""
    policy = Hanging()
    try:
        yield policy
    finally:
        policy.released.set()


@pytest.mark.parametrize(
    "form", ["plain", "cancellable", "batched", "batched_async", "returning_awaitables"]
)
async def test_a_call_that_hangs_fails_its_episodes_and_the_others_go_on(
    form: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out, is_batched = tmp_path / "episodes.jsonl", form.startswith("batched")
    with hanging() as policy:
        async with within(20):
            run = await collect(
                Numbered,
                getattr(policy, form),
                episodes=12,
                concurrency=3,
                policy_timeout_s=0.1,
                batched=is_batched,
                out=out,
            )
    failed = [episode for episode in read(out) if episode.error is not None]
    assert run.causes == {POLICY_FAILED: len(failed)}
    assert 1 <= len(failed) <= (3 if is_batched else 1)
    is_thread = form in ("plain", "batched")
    for episode in failed:
        assert episode.error is not None
        assert (episode.ended, episode.error.type) == ("failed", "TimeoutError")
        assert episode.error.message.startswith("the policy took longer than 0.1 s")
        assert ("left behind" in episode.error.message) is is_thread
    others = [episode for episode in read(out) if episode.error is None]
    assert len(others) == 12 - len(failed)
    assert {(one.ended, one.length) for one in others} == {("done", 3)}
    assert policy.cancelled == (0 if is_thread else 1)
    assert ("left behind (1 so far)" in caplog.text) is is_thread


async def test_the_deadline_of_a_policy_is_not_that_of_a_step() -> None:
    async def slow(_: Any) -> Any:
        await asyncio.sleep(0.05)
        return {}

    run = await collect(Numbered, slow, episodes=2, timeout_s=0.02)
    assert run.failures == 0
    run = await collect(Numbered, slow, episodes=2, timeout_s=20, policy_timeout_s=0.01)
    assert run.causes == {POLICY_FAILED: 2}


async def test_with_a_deadline_too_calls_do_not_overlap_and_stay_on_one_thread() -> None:
    threads, running = set(), 0

    def policy(_: Any) -> Any:
        nonlocal running
        running += 1
        assert running == 1
        threads.add(threading.get_ident())
        running -= 1
        return {}

    run = await collect(Numbered, policy, episodes=20, concurrency=10, policy_timeout_s=10)
    assert run.failures == 0
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_who_waits_for_another_call_does_not_spend_its_own_time() -> None:
    first, gate = threading.Event(), threading.Event()

    def policy(number: int) -> int:
        if number == 0:
            first.set()
            gate.wait(patient(20))
        return number

    async with acting(policy, timeout_s=0.3) as act:
        calls = [asyncio.create_task(act(number)) for number in range(3)]
        try:
            with pytest.raises(PolicyFailed, match="left behind"):
                await calls[0]
            assert first.is_set()
            assert await asyncio.gather(*calls[1:]) == [1, 2]
        finally:
            gate.set()


async def test_what_is_raised_on_the_thread_is_raised_to_who_asked() -> None:
    def policy(error: Exception) -> Any:
        raise error

    async with acting(policy, timeout_s=10) as act:
        error = ValueError("no idea")
        with pytest.raises(PolicyFailed) as caught:
            await act(error)
        assert caught.value.__cause__ is error
        with pytest.raises(PolicyFailed, match="StopIteration"):
            await act(StopIteration())


async def test_who_gives_up_leaves_the_thread_behind() -> None:
    with hanging() as policy:
        policy.number = 1
        async with acting(policy.plain, timeout_s=10) as act:
            call = asyncio.create_task(act(None))
            while not policy.calls:
                await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await act(None) == {}


@pytest.mark.parametrize(
    "wrap", [functools.partial, lambda call: type("P", (), {"__call__": call})()]
)
async def test_a_policy_that_is_async_stays_on_the_event_loop(wrap: Any) -> None:
    seen = []

    async def policy(*arguments: Any) -> Any:
        seen.append(threading.get_ident())
        return arguments[-1]

    async with acting(wrap(policy), timeout_s=10) as act:
        assert await act(7) == 7
    assert seen == [threading.get_ident()]


def test_a_process_ends_although_its_policy_hangs_for_good(tmp_path: Path) -> None:
    program = (
        "import asyncio, threading\n"
        "from openenv.rollout.collect import collect\n"
        "from tests.rollout.test_bad_policies import Numbered\n"
        "def policy(_):\n"
        "    threading.Event().wait()\n"
        "run = asyncio.run(collect(Numbered, policy, episodes=2, policy_timeout_s=0.05))\n"
        "print(run.causes)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=ENVIRON,
        capture_output=True,
        text=True,
        timeout=patient(30),
    )
    assert run.stdout == "{'POLICY_FAILED': 2}\n", run.stderr


# ---- nonsense


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("a" * 4, "TypeError"),
        ({str(number): {} for number in range(4)}, "TypeError"),
        ({1, 2, 3, 4}, "TypeError"),
        (iter([{}] * 4), "TypeError"),
        (7, "TypeError"),
        (Completion({}), "TypeError"),
        ([{}] * 3, "ValueError"),
    ],
)
async def test_what_is_no_list_of_actions_is_not_taken_apart(answer: Any, kind: str) -> None:
    run = await collect(Numbered, lambda _: answer, episodes=4, batched=True)
    assert run.causes == {POLICY_FAILED: 4}
    assert {episode.error.type for episode in run if episode.error is not None} == {kind}


async def test_rows_of_an_array_are_actions() -> None:
    run = await collect(
        Numbered,
        lambda waiting: [{"a": row} for row in np.eye(len(waiting))],
        episodes=2,
        batched=True,
    )
    assert run.failures == 0


class Circle(dict[str, Any]):
    """Holds itself."""

    def __init__(self) -> None:
        self["self"] = self


@pytest.mark.parametrize(
    "answer",
    [
        np.array([object()], dtype=object),
        {"a": np.array(["text", 3], dtype=object)},
        {"a": np.array(["2020-01-01"], dtype="datetime64[D]")},
        {"a": {1, 2}, "b": threading.Lock()},
        {1j: "a"},
        (number for number in range(3)),
        Completion(object()),
        Circle(),
    ],
    ids=lambda answer: type(answer).__name__,
)
async def test_an_action_that_cannot_travel_fails_its_episode(answer: Any) -> None:
    run = await collect(Numbered, lambda _: answer, episodes=3, concurrency=2)
    assert run.causes == {"PAYLOAD_ERROR": 3}


@pytest.mark.parametrize("dtype", [object, "datetime64[D]", "U3"])
async def test_an_observation_that_cannot_travel_fails_its_episode(dtype: Any) -> None:
    class Strange(Numbered):
        def step(self, action: dict[str, Any]) -> dict[str, Any]:
            seen = super().step(action)
            return {**seen, "a": np.zeros(2, dtype)} if seen["count"] == 2 else seen

    run = await collect(Strange, lambda _: {}, episodes=3, concurrency=2)
    assert run.failures == 3
    for episode in run:
        assert episode.error is not None
        assert episode.length == 1
        assert "dtype" in episode.error.message
        assert "astype" in episode.error.message


class Tokens:
    """What a library's tensor looks like."""

    def tolist(self) -> list[int]:
        return [1, 2]


@pytest.mark.parametrize("ids", [[1, 2], (1, 2), np.array([1, 2]), Tokens()])
async def test_tokens_are_recorded_as_lists_whatever_they_were(ids: Any, tmp_path: Path) -> None:
    out = tmp_path / "episodes.jsonl"
    answer = Completion({}, ids, ids, np.array([-0.5, -1.0], np.float32), [1, 0])
    await collect(Numbered, lambda _: answer, episodes=1, max_turns=1, out=out)
    [turn] = json.loads(out.read_text())["turns"]
    assert (turn["prompt_token_ids"], turn["completion_token_ids"]) == ([1, 2], [1, 2])
    assert (turn["logprobs"], turn["loss_mask"]) == ([-0.5, -1.0], [1, 0])
    [episode] = read(out)
    assert episode.turns[0].logprobs == [-0.5, -1.0]


@pytest.mark.parametrize(
    "tokens",
    [{"prompt_token_ids": ["a"]}, {"prompt_token_ids": 7}, {"completion_token_ids": [[1], [2]]}],
)
async def test_tokens_that_are_no_numbers_fail_their_episode(tokens: dict[str, Any]) -> None:
    run = await collect(Numbered, lambda _: Completion({}, **tokens), episodes=1)
    [episode] = run
    assert episode.error is not None
    assert (episode.error.code, episode.error.type) == (POLICY_FAILED, "ValueError")
    assert next(iter(tokens)) in episode.error.message


async def test_only_the_first_failure_of_a_kind_is_told(caplog: pytest.LogCaptureFixture) -> None:
    await collect(Numbered, lambda _: 1 / 0, episodes=9, concurrency=2)
    told = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert [record.name for record in told] == ["openenv.rollout"]
