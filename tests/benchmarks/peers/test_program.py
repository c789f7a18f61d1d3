import os
import sys

import pytest

from benchmarks.peers.program import ProgramError, running

_ANNOUNCES = "print('{\"ready\": true}', flush=True)"
_ECHOES = f"import sys\n{_ANNOUNCES}\nfor line in sys.stdin: print(line.strip(), flush=True)"


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_program_announces_itself_and_answers_each_line() -> None:
    with running(_python(_ECHOES)) as program:
        assert program.announcement == {"ready": True}
        assert program.ask({"a": 1}, 10) == {"a": 1}
        assert program.ask({"b": "two"}, 10) == {"b": "two"}


def test_a_program_is_gone_when_its_block_ends() -> None:
    with running(_python(_ECHOES)) as program:
        os.kill(program.pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(program.pid, 0)


def test_a_program_that_dies_is_reported_with_its_last_words() -> None:
    code = "import sys; sys.exit('no such flavour')"
    with pytest.raises(ProgramError, match="no such flavour"), running(_python(code)):
        pass


def test_a_program_that_says_nothing_is_given_up() -> None:
    with (
        running(_python(f"{_ANNOUNCES}\nimport sys; sys.stdin.read()")) as program,
        pytest.raises(ProgramError, match=r"said nothing for 0\.1 s"),
    ):
        program.ask({"anyone": "there"}, 0.1)


def test_an_answer_that_says_failed_is_an_error() -> None:
    with running(_python(_ECHOES)) as program, pytest.raises(ProgramError, match="the cat ate it"):
        program.ask({"failed": "the cat ate it"}, 10)


def test_a_pinned_program_stays_on_its_core_and_its_parent_does_not_move() -> None:
    before = os.sched_getaffinity(0)
    core = max(before)
    code = 'import os, json; print(json.dumps({"cores": sorted(os.sched_getaffinity(0))}))'
    with running(_python(code), core=core) as program:
        assert program.announcement == {"cores": [core]}
    assert os.sched_getaffinity(0) == before
