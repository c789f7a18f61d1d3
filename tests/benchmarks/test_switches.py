import subprocess
import sys

import pytest

from benchmarks import features
from benchmarks.switches import SWITCHES

# In a process of its own: a switch is for good.
KEEPING_OFF = """
from benchmarks.switches import SWITCHES
from openenv.protocol.link import Link

SWITCHES["no-keeping"].on_server()
link = Link(buffer_bytes=100)
link.keep(b"message", 7)
print(link.sent, link.kept_bytes)
link.take_acknowledgement(1)
print(link.acknowledged)
"""


def _run(program: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout


def test_every_row_of_the_features_has_a_switch() -> None:
    used = {row.server.arguments[0] for row in features.QUESTION.rows}
    assert used == set(SWITCHES)


def test_what_is_compared_is_otherwise_the_same() -> None:
    for row in features.QUESTION.rows:
        assert row.server.arguments[0] == row.client.arguments[0]


def test_what_switches_patch_is_still_there() -> None:
    turned = _run(
        "from benchmarks.switches import SWITCHES\n"
        "for name, switch in SWITCHES.items():\n"
        "    switch.on_server()\n"
        "    switch.on_client()\n"
        "    print(name)\n"
    )
    assert turned.split() == list(SWITCHES)


def test_without_keeping_messages_are_numbered_but_forgotten() -> None:
    assert _run(KEEPING_OFF).split() == ["1", "0", "1"]


def test_a_patch_of_what_does_not_exist_is_refused() -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        _run(
            "from benchmarks import switches\n"
            "switches._patch('openenv.protocol.link.Link.keep_all', None)"
        )
    assert "there is no openenv.protocol.link.Link.keep_all" in failed.value.stderr
