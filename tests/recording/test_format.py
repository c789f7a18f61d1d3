"""What is recorded is read back, to the last whole episode."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pydantic
import pytest

from openenv.errors import PayloadError
from openenv.models import Observation
from openenv.recording import Cause, Episode, Turn, read
from openenv.recording.format import VERSION, decode, encode


def episode(number: int = 0, turns: list[Turn] | None = None, **fields: Any) -> Episode:
    turns = [Turn({"seen": 1}, {"do": "it"}, 0.5, False, False)] if turns is None else turns
    defaults: dict[str, Any] = {
        "version": VERSION,
        "episode": number,
        "episode_id": f"run-{number}",
        "turns": turns,
        "return_": 0.5,
        "length": len(turns),
        "ended": "done",
        "seed": 7,
        "final_observation": {"seen": 2},
    }
    return Episode(**(defaults | fields))


def test_an_episode_is_one_line_of_json_with_documented_keys() -> None:
    line = encode(episode())
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "version": 1,
        "episode": 0,
        "episode_id": "run-0",
        "turns": [
            {
                "observation": {"seen": 1},
                "action": {"do": "it"},
                "reward": 0.5,
                "done": False,
                "truncated": False,
            }
        ],
        "return": 0.5,
        "length": 1,
        "ended": "done",
        "seed": 7,
        "final_observation": {"seen": 2},
    }


@pytest.mark.parametrize(
    "recorded",
    [
        episode(),
        episode(turns=[], seed=None, final_observation=None, ended="failed"),
        episode(error=Cause("STEP_TIMEOUT", "too slow", "StepTimeout"), ended="failed"),
        episode(turns=[Turn({"x": None}, None, None, True, True, {"why": "null"})]),
        episode(turns=[Turn("text", [1, "a"], True, False, False)], return_=1),
        episode(turns=[Turn({}, {}, math.inf, False, False)], return_=-math.inf),
        episode(
            turns=[Turn({}, {}, 1.0, False, False, latency_s=0.0012, policy_s=0.5)],
            reset_latency_s=0.25,
        ),
    ],
)
def test_what_is_encoded_is_decoded(recorded: Episode) -> None:
    assert decode(encode(recorded)) == recorded


def test_numbers_that_are_not_finite_are_spelled_out() -> None:
    turns = [Turn({"x": math.nan, "null": None}, {"y": -math.inf}, math.nan, False, False)]
    line = encode(episode(turns=turns, return_=math.nan))
    [turn] = json.loads(line)["turns"]
    assert turn["observation"] == {"x": "NaN", "null": None}
    assert turn["action"] == {"y": "-Infinity"}
    back = decode(line)
    assert math.isnan(back.return_)
    assert math.isnan(back.turns[0].reward or 0.0)


def test_arrays_come_back_as_arrays() -> None:
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    line = encode(episode(turns=[Turn({"pixels": pixels}, {"at": [pixels]}, 0.0, False, False)]))
    assert json.loads(line)["turns"][0]["observation"]["pixels"]["shape"] == [2, 3]
    turn = decode(line).turns[0]
    np.testing.assert_array_equal(turn.observation["pixels"], pixels)
    np.testing.assert_array_equal(turn.action["at"][0], pixels)


@dataclass(kw_only=True)
class Plain(Observation):
    text: str


class Quick(msgspec.Struct):
    text: str
    reward: float = 0.0


class Modelled(pydantic.BaseModel):
    text: str
    done: bool = False


@pytest.mark.parametrize(
    "observation",
    [
        Plain(text="seen", reward=1.0, metadata={"a": 1}),
        Quick("seen", 1.0),
        Modelled(text="seen", done=True),
    ],
)
def test_typed_observations_are_recorded_as_on_the_wire(observation: Any) -> None:
    turns = [Turn(observation, Modelled(text="act"), 1.0, True, False)]
    data = json.loads(encode(episode(turns=turns, final_observation=observation)))
    assert data["turns"][0]["observation"] == {"text": "seen"}
    assert data["turns"][0]["action"] == {"text": "act", "done": False}
    assert data["final_observation"] == {"text": "seen"}


def test_what_cannot_be_recorded_is_said() -> None:
    with pytest.raises(PayloadError, match="episode 3 holds what cannot be recorded"):
        encode(episode(3, [Turn(object(), {}, 0.0, False, False)]))


def test_a_file_is_read_in_its_own_order(tmp_path: Path) -> None:
    path = tmp_path / "episodes.jsonl"
    recorded = [episode(number) for number in (2, 0, 1)]
    path.write_bytes(b"".join(encode(one) for one in recorded))
    assert list(read(path)) == recorded


@pytest.mark.parametrize("missing_bytes", [1, 2, 50])
def test_a_file_that_was_cut_is_read_to_its_last_whole_episode(
    tmp_path: Path, missing_bytes: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "episodes.jsonl"
    whole = encode(episode(0)) + encode(episode(1))
    path.write_bytes(whole[:-missing_bytes])
    assert [one.episode for one in read(path)] == [0]
    assert "is cut" in caplog.text
    assert str(len(encode(episode(1))) - missing_bytes) in caplog.text


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"{", "is no recorded episode"),
        (b"[1]\n", "is no recorded episode"),
        (b"\xff\n", "is no recorded episode"),
        (b'{"version": 1}\n', "is no recorded episode"),
        (b'{"version": 2}\n', "has the version 2; this release of openenv reads 1"),
        (b"{}\n", "has the version None"),
        (encode(episode()).replace(b'"run-0"', b"7"), r"Expected `str`.*episode_id"),
        (encode(episode()).replace(b"0.5", b'"much"'), "is no recorded episode"),
        (encode(episode()).replace(b'"done","seed"', b'"bored","seed"'), "Invalid enum value"),
        (encode(episode()).replace(b'"it"', b'{"__array__":"A"}'), "an array is"),
    ],
)
def test_a_line_that_is_no_episode_is_named(tmp_path: Path, line: bytes, complaint: str) -> None:
    path = tmp_path / "episodes.jsonl"
    path.write_bytes(encode(episode()) + line.rstrip() + b"\n")
    with pytest.raises(PayloadError, match=complaint) as caught:
        list(read(path))
    assert str(caught.value).startswith(f"{path}:2 ")


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        ('"shape":[2,3]', '"shape":[2,4]', "8 bytes, not 6"),
        ('"dtype":"|u1"', '"dtype":"<f4"', "24 bytes, not 6"),
        ('"dtype":"|u1"', '"dtype":"|O"', "unknown dtype"),
        ('"__array__":"AAE', '"__array__":"?AE', "not base64"),
    ],
)
def test_an_array_that_is_not_what_it_says_is_named(
    tmp_path: Path, was: str, becomes: str, complaint: str
) -> None:
    path = tmp_path / "episodes.jsonl"
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    whole = encode(episode(turns=[Turn({"pixels": pixels}, {}, 0.0, False, False)]))
    lie = whole.replace(was.encode(), becomes.encode())
    assert lie != whole
    path.write_bytes(whole + lie)
    episodes = read(path)
    assert next(episodes).turns[0].observation["pixels"].shape == (2, 3)
    with pytest.raises(PayloadError, match=complaint) as caught:
        next(episodes)
    assert str(caught.value).startswith(f"{path}:2 ")
    assert "turns[0].observation.pixels" in str(caught.value)


def test_keys_of_later_versions_are_ignored() -> None:
    line = encode(episode()).replace(b'"ended"', b'"mood":"fine","ended"')
    assert decode(line) == episode()
