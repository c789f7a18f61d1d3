"""What `docker build` prints is understood, whichever builder prints it."""

import pytest

from openenv.cli.build_log import KEPT_LINES, BuildEvent, BuildLog

BUILDKIT = """\
#1 [internal] load build definition from Dockerfile
#1 transferring dockerfile: 31B done
#1 DONE 0.0s

#2 [build 1/3] FROM python:3.11-slim
#2 CACHED

#3 [build 2/3] RUN echo one && false
#3 0.412 one
#3 sha256:abc 1MB / 2MB
#3 ...

#4 [stage-1 2/2] RUN echo beside
#4 0.100 beside
#4 DONE 0.2s

#3 [build 2/3] RUN echo one && false
#3 0.500 two
#3 ERROR: executor failed running [/bin/sh -c echo one && false]: exit code: 1
------
 > [build 2/3] RUN echo one && false:
------
executor failed running [/bin/sh -c echo one && false]: exit code: 1
"""

FORMER = """\
Sending build context to Docker daemon  10.2kB
Step 1/3 : FROM python:3.11-slim
 ---> 0123456789ab
Step 2/3 : RUN echo one && false
 ---> Running in 123456789abc
one
\x1b[91mtwo
\x1b[0mThe command '/bin/sh -c echo one && false' returned a non-zero code: 1
"""


def fed(text: str) -> tuple[BuildLog, list[BuildEvent]]:
    log = BuildLog()
    return log, [event for line in text.splitlines() for event in log.feed(line)]


def test_the_steps_of_buildkit_are_told_apart() -> None:
    log, events = fed(BUILDKIT)
    assert log.failure() == (
        "[build 2/3] RUN echo one && false",
        [
            "one",
            "two",
            "executor failed running [/bin/sh -c echo one && false]: exit code: 1",
        ],
    )
    assert [event for event in events if event.step.startswith("[stage-1")] == [
        BuildEvent("begun", "[stage-1 2/2] RUN echo beside"),
        BuildEvent("output", "[stage-1 2/2] RUN echo beside", "beside"),
        BuildEvent("done", "[stage-1 2/2] RUN echo beside", "0.2s"),
    ]
    assert BuildEvent("cached", "[build 1/3] FROM python:3.11-slim") in events
    assert [event.kind for event in events].count("failed") == 1


def test_the_steps_of_the_builder_before_it_are_told_apart() -> None:
    log, events = fed(FORMER)
    assert events[:3] == [
        BuildEvent("begun", "[1/3] FROM python:3.11-slim"),
        BuildEvent("begun", "[2/3] RUN echo one && false"),
        BuildEvent("output", "[2/3] RUN echo one && false", "one"),
    ]
    step, lines = log.failure()
    assert step == "[2/3] RUN echo one && false"
    assert lines[:2] == ["one", "two"]
    assert lines[-1].endswith("returned a non-zero code: 1")


@pytest.mark.parametrize(
    "text",
    [
        "#1 [internal] load build definition\n#1 DONE 0.0s\n------\nDockerfile:1\nunknown: FRMO\n",
        "Error response from daemon: dockerfile parse error line 1: unknown instruction: FRMO\n",
    ],
)
def test_what_belongs_to_no_step_is_kept_for_the_failure(text: str) -> None:
    log, _ = fed(text)
    step, lines = log.failure()
    assert step is None
    assert "unknown" in lines[-1]


def test_only_the_end_of_a_long_output_is_kept() -> None:
    lines = [f"#1 0.1 line {number}" for number in range(500)]
    log, _ = fed("\n".join(["#1 RUN many", *lines, "#1 ERROR: exit code: 1"]))
    _, kept = log.failure()
    assert len(kept) == KEPT_LINES
    assert kept[-2:] == ["line 499", "exit code: 1"]
