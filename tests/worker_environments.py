"""Environments for worker processes. They import little: every worker imports this."""

import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakSet

import numpy

from openenv.environment import Environment
from openenv.models import EnvironmentInfo, State


class Deadly(Environment[dict[str, Any], dict[str, Any], State]):
    """Does to its process what its action says."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "process"

    def __init__(self, log: str = "") -> None:
        self.log = log

    def reset(self, seed: int | None = None, die: bool = False) -> dict[str, Any]:
        if die:
            os._exit(9)
        return {"pid": os.getpid(), "seed": seed}

    def step(self, action: dict[str, Any]) -> dict[str, Any]:
        match action.get("do"):
            case "exit":
                os._exit(3)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "sleep":
                time.sleep(action["s"])
            case "wait":
                # Two named pipes: one says that the step runs, the other when it may end.
                Path(action["began"]).write_text("began")
                Path(action["gate"]).read_text()
            case "fork":
                child = os.fork()
                if not child:
                    time.sleep(60)
                    os._exit(0)
                return {"child": child}
            case "print":
                print("printed by the environment")  # noqa: T201 - where it goes is the question
        return {"pid": os.getpid(), "state": self.state.step_count}

    def close(self) -> None:
        if self.log:
            Path(self.log).write_text("closed")


class Alone(Deadly):
    """Several instances in one process would disturb each other."""

    SUPPORTS_CONCURRENT_SESSIONS = False


class Unmakeable(Deadly):
    """Takes its process along before there is an instance."""

    def __init__(self) -> None:
        os._exit(4)


class Described(Deadly):
    """Only an instance knows what it is."""

    def get_metadata(self) -> EnvironmentInfo:
        return EnvironmentInfo(name="deadly", description=f"not in {sys.argv[0]}", version="7")


class Images(Environment[dict[str, Any], dict[str, Any], State]):
    """Inverts images."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "process"

    def reset(self, side: int = 4) -> dict[str, Any]:
        return {"image": numpy.zeros((side, side), numpy.uint8)}

    def step(self, action: dict[str, Any]) -> dict[str, Any]:
        return {"image": 255 - numpy.asarray(action["image"], numpy.uint8)}


def make_deadly() -> Deadly:
    return Deadly()


def make_maker() -> Callable[[], Deadly]:
    return lambda: Deadly()


class Drawing(Environment[dict[str, Any], dict[str, Any], State]):
    """Draws two pixels, the second as bright as the last action says."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self) -> dict[str, Any]:
        self.brightness = 0
        return {}

    def step(self, action: dict[str, Any]) -> dict[str, Any]:
        self.brightness = action["brightness"]
        return {}

    def render(self) -> Any:
        return numpy.array([[0, self.brightness]], dtype=numpy.uint8)


@dataclass
class Said:
    words: list[str]


@dataclass
class Heard:
    messages: list[str]
    reward: float | None = None
    done: bool = False


class Talk(Environment[Said, Heard, State]):
    """Makes an action of a message by itself."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self) -> Heard:
        return Heard([])

    def step(self, action: Said) -> Heard:
        return Heard(action.words, done=True)

    def message_to_action(self, message: dict[str, str]) -> Said:
        return Said([message["role"], *message["content"].split()])


class Living(Environment[dict[str, Any], dict[str, Any], State]):
    """Counts the instances of its process that are alive, while nothing collects garbage."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "process"
    living: ClassVar[WeakSet[Any]] = WeakSet()

    def __init__(self) -> None:
        gc.disable()
        Living.living.add(self)

    def reset(self, seed: int | None = None) -> dict[str, Any]:
        return {"living": len(Living.living)}

    def step(self, action: dict[str, Any]) -> dict[str, Any]:
        return {}
