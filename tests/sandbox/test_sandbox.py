"""A sandbox runs snippets: their output, values, errors and ends; deadlines; beginning anew."""

import os
import re
import signal
import threading
from collections.abc import Iterator

import pytest

from openenv.sandbox import (
    Limits,
    Sandbox,
    SandboxError,
    SandboxUnavailable,
    cell,
    isolation,
    zygotes,
)
from openenv.sandbox.zygote import ZygoteProcess

SMALL = Limits(memory_bytes=128 << 20, disk_bytes=1 << 19, output_bytes=1000, value_chars=100)


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with Sandbox(packages=("numpy",), limits=SMALL) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared: Sandbox) -> Sandbox:
    shared.restart()
    return shared


def test_variables_classes_and_imports_persist(sandbox: Sandbox) -> None:
    sandbox.run("import math\nfrom dataclasses import dataclass")
    sandbox.run("@dataclass\nclass Point:\n    x: float = math.pi")
    outcome = sandbox.run("import pickle\npickle.loads(pickle.dumps(Point(2)))")
    assert outcome.value == "Point(x=2)"
    sandbox.restart()
    assert sandbox.run("Point").error == "NameError"


def test_output_is_kept_apart_and_in_order(sandbox: Sandbox) -> None:
    code = "import os, sys\nprint('a', flush=True)\nos.write(1, b'b\\n')\nprint('c')\n"
    outcome = sandbox.run(code + "print('d', file=sys.stderr)")
    assert (outcome.stdout, outcome.stderr) == ("a\nb\nc\n", "d\n")


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("1 + 1", "2"),
        ("x = 1", None),
        ("None", None),
        ("'a' * 1000", "'" + "a" * 99 + "... 902 more"),
        ("x = 3\nx", "3"),
        ("from __future__ import annotations\n1", "1"),
        ("", None),
        ("# nothing", None),
    ],
)
def test_the_last_expression_is_the_value(sandbox: Sandbox, code: str, value: str | None) -> None:
    assert sandbox.run(code).value == value


def test_tracebacks_have_the_frames_of_the_code_alone(sandbox: Sandbox) -> None:
    sandbox.run("def parse(text):\n    import json\n    return json.loads(text)")
    sandbox.write_file("own.py", b"def fail():\n    raise LookupError('own')\n")
    outcome = sandbox.run(
        "import own\ntry:\n    parse('{')\nexcept ValueError as error:\n    own.fail()"
    )
    assert outcome.error == "LookupError"
    lines = [line.strip() for line in outcome.stderr.splitlines() if 'File "' in line]
    assert [line.rpartition("/")[2] for line in lines] == [
        'File "<snippet 2>", line 3, in <module>',
        'File "<snippet 1>", line 3, in parse',
        'File "<snippet 2>", line 5, in <module>',
        'own.py", line 2, in fail',
    ]
    assert "return json.loads(text)" in outcome.stderr
    assert "json/decoder" not in outcome.stderr
    assert "openenv/" not in outcome.stderr


def test_an_exception_that_cannot_be_shown_is_named(sandbox: Sandbox) -> None:
    code = "class Odd(Exception):\n    def __str__(self):\n        raise SystemExit\nraise Odd"
    outcome = sandbox.run(code)
    assert (outcome.exit_code, outcome.error) == (1, "Odd")
    assert sandbox.run("1").value == "1"


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("import sys\nsys.exit()", 0),
        ("import sys\nsys.exit(300)", 44),
        ("raise SystemExit('why')", 1),
    ],
)
def test_exiting_ends_the_snippet_alone(sandbox: Sandbox, code: str, exit_code: int) -> None:
    sandbox.run("x = 1")
    outcome = sandbox.run(code)
    assert (outcome.exit_code, outcome.error, outcome.variables_lost) == (exit_code, None, False)
    assert sandbox.run("x").value == "1"


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("import os\nos._exit(7)", 7),
        ("import ctypes\nctypes.string_at(0)", 139),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", 137),
    ],
)
def test_the_end_of_the_interpreter_is_said(sandbox: Sandbox, code: str, exit_code: int) -> None:
    sandbox.run("x = 1")
    outcome = sandbox.run("print('before', flush=True)\n" + code)
    assert (outcome.exit_code, outcome.variables_lost) == (exit_code, True)
    assert outcome.stdout == "before\n"
    assert f"exit code {exit_code}" in outcome.stderr
    assert sandbox.run("x").error == "NameError"


def test_an_interpreter_that_cuts_itself_off_is_ended(sandbox: Sandbox) -> None:
    assert sandbox.run("import os\nos.close(3)").variables_lost
    assert sandbox.run("1").value == "1"


@pytest.mark.parametrize(
    ("code", "is_lost"),
    [
        ("while True: pass", False),
        ("import time\ntime.sleep(60)", False),
        ("import threading\nthreading.Event().wait()", False),
        ("import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass", True),
        ("sum(range(10**12))", True),
        ("import time\nwhile True:\n    try: time.sleep(60)\n    except BaseException: pass", True),
    ],
)
def test_a_deadline_ends_whatever_runs(sandbox: Sandbox, code: str, is_lost: bool) -> None:
    sandbox.run("kept = 1")
    outcome = sandbox.run(f"print('began', flush=True)\n{code}", timeout_s=0.1)
    assert (outcome.exit_code, outcome.is_timeout, outcome.variables_lost) == (-1, True, is_lost)
    assert outcome.stdout == "began\n"
    assert "Execution timed out after 0.1 s" in outcome.stderr
    assert outcome.duration_s < 5
    assert sandbox.run("kept").value == (None if is_lost else "1")


def test_a_snippet_may_close_and_replace_its_streams(sandbox: Sandbox) -> None:
    for code in (
        "import sys\nsys.stdout.close()",
        "import io, sys\nsys.stdout = io.StringIO()",
        "import sys\nsys.stderr = None\n1 / 0",
    ):
        sandbox.run(code)
        assert sandbox.run("print('here')").stdout == "here\n"


def test_output_beyond_the_limit_keeps_its_ends(sandbox: Sandbox) -> None:
    outcome = sandbox.run("print('a' * 700 + 'b' * 700)")
    assert outcome.stdout == "a" * 500 + "\n... 401 bytes left out ...\n" + "b" * 499 + "\n"


def test_a_flood_of_output_is_stopped(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell, "FLOOD_BYTES", 1 << 20)
    outcome = sandbox.run("while True: print('x' * 1000)", timeout_s=0.3)
    assert outcome.is_timeout
    left_out = re.search(r"\.\.\. (\d+) bytes left out", outcome.stdout)
    assert left_out is not None
    assert int(left_out[1]) < 1 << 21
    sandbox.restart()
    assert sandbox.run("print(1)").stdout == "1\n"


def test_a_thread_that_goes_on_is_heard_with_the_next_snippet(sandbox: Sandbox) -> None:
    sandbox.run(
        "import threading\ngo, gone = threading.Event(), threading.Event()\n"
        "def speak():\n    go.wait()\n    print('late', flush=True)\n    gone.set()\n"
        "threading.Thread(target=speak).start()"
    )
    assert sandbox.run("go.set()\ngone.wait()").stdout == "late\n"


def test_functions_are_called_outside(sandbox: Sandbox) -> None:
    asked: list[str] = []

    def ask(prompt: str, times: int = 1) -> str:
        asked.append(prompt)
        return prompt[::-1] * times

    code = "print('before')\nask('abc', times=2), ask('" + "x" * 100_000 + "')[:3]"
    outcome = sandbox.run(code, functions={"ask": ask})
    assert (outcome.stdout, outcome.value) == ("before\n", "('cbacba', 'xxx')")
    assert asked == ["abc", "x" * 100_000]
    again = sandbox.run("ask('again')")
    assert "LookupError: ask cannot be called by this snippet" in again.stderr


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("ask()", "RuntimeError"),
        ("ask(1)", "RuntimeError"),
        ("ask('set')", "RuntimeError"),
        ("ask({1})", "TypeError"),
    ],
)
def test_what_a_function_raises_is_raised_inside(sandbox: Sandbox, call: str, error: str) -> None:
    outcome = sandbox.run(call, functions={"ask": lambda text: {text.upper()}})
    assert outcome.error == error
    assert sandbox.run("1").value == "1"


def test_the_time_of_functions_does_not_count(sandbox: Sandbox) -> None:
    released = threading.Event()
    timer = threading.Timer(0.4, released.set)
    timer.start()
    outcome = sandbox.run("ask()", timeout_s=0.2, functions={"ask": released.wait})
    timer.join()
    assert outcome.value == "True"


def test_a_deadline_ends_what_asks_all_the_time(sandbox: Sandbox) -> None:
    for _ in range(5):
        outcome = sandbox.run("while True: ask()", timeout_s=0.05, functions={"ask": int})
        assert (outcome.exit_code, outcome.is_timeout) == (-1, True)
        assert sandbox.run("1").value == "1"


def test_event_loops_work(sandbox: Sandbox) -> None:
    code = "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return 5\n"
    assert sandbox.run(code + "asyncio.run(f())").value == "5"


def test_numpy_is_there_and_other_packages_are_not(sandbox: Sandbox) -> None:
    assert sandbox.run("import numpy\nint(numpy.linalg.det(numpy.eye(3)))").value == "1"
    assert sandbox.run("import numpy.testing\nimport openenv").error == "ModuleNotFoundError"
    assert sandbox.run("import pytest").error == "ModuleNotFoundError"
    assert sandbox.run("import sqlite3, ssl, decimal, unittest, tempfile, zoneinfo").exit_code == 0


def test_files_persist_until_it_begins_anew(sandbox: Sandbox) -> None:
    sandbox.write_file("a/b.bin", b"\0\xff")
    assert sandbox.run("open('a/b.bin', 'rb').read()").value == r"b'\x00\xff'"
    assert sandbox.read_file("a/b.bin") == b"\0\xff"
    sandbox.restart()
    with pytest.raises(OSError, match="No such file"):
        sandbox.read_file("a/b.bin")


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "/proc/self/mem", "a\0b", ".", ""])
def test_files_elsewhere_are_neither_read_nor_written(sandbox: Sandbox, path: str) -> None:
    with pytest.raises(OSError, match="in the sandbox"):
        sandbox.read_file(path)
    with pytest.raises(OSError, match="in the sandbox"):
        sandbox.write_file(path, b"x")


def test_a_link_to_elsewhere_is_not_read(sandbox: Sandbox) -> None:
    sandbox.run("import os\nos.symlink('/etc/passwd', 'link')")
    with pytest.raises(OSError, match="Permission denied"):
        sandbox.read_file("link")


def test_large_files_are_refused(sandbox: Sandbox) -> None:
    with pytest.raises(OSError, match="1,048,576 bytes"):
        sandbox.write_file("large", b"x" * (1 << 20) + b"x")
    with pytest.raises(OSError, match="cannot write"):
        sandbox.write_file("as large as the disk", b"x" * (1 << 20))
    with Sandbox(packages=("numpy",), limits=Limits(file_bytes=10)) as other:
        other.run("open('large', 'w').write('x' * 11)")
        with pytest.raises(OSError, match="more than 10 bytes"):
            other.read_file("large")


def test_random_numbers_are_decided_by_the_seed(sandbox: Sandbox) -> None:
    code = "import random, numpy\nrandom.random(), numpy.random.rand(), hash('a')"
    values = []
    for seed in (1, 1, 2**70, -1, None, None):
        sandbox.restart(seed)
        values.append(sandbox.run(code).value)
    assert values[0] == values[1]
    assert len(set(values)) == 5


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan")])
def test_a_deadline_must_be_positive(sandbox: Sandbox, timeout_s: float) -> None:
    with pytest.raises(ValueError, match="timeout_s must be positive"):
        sandbox.run("1", timeout_s)


def test_limits_must_be_positive() -> None:
    with pytest.raises(ValueError, match="disk_bytes, threads"):
        Limits(disk_bytes=0, threads=-1)


def test_a_package_that_does_not_import_is_named() -> None:
    with pytest.raises(SandboxError, match="cannot import no_such_package: ModuleNotFound"):
        Sandbox(packages=("no_such_package",))


def test_an_unknown_isolation_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="landlock, bubblewrap, container, unsafe"):
        Sandbox(isolation="magic")


def test_it_does_not_begin_where_no_isolation_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    impossible = isolation.Isolation("landlock", frozenset({"landlock", "magic"}))
    container = isolation.Isolation("container", frozenset())
    wrapped = isolation.Isolation("bubblewrap", frozenset())
    monkeypatch.setattr(isolation, "KINDS", (impossible, wrapped, container))
    monkeypatch.setattr(isolation, "CONTAINER_MARKS", ())
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(SandboxUnavailable) as refusal:
        Sandbox(packages=("numpy",))
    for reason in ("no magic here", "bwrap is not installed", "this is no container", "unsafe"):
        assert reason in str(refusal.value)


def test_elsewhere_than_on_linux_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    with pytest.raises(SandboxUnavailable, match="landlock: it needs Linux"):
        Sandbox()


def test_unsafe_must_be_asked_for_and_says_so() -> None:
    with Sandbox(packages=("numpy",), isolation="unsafe") as sandbox:
        assert sandbox.isolation == "unsafe"
        assert sandbox.run("1").value == "1"


def test_it_begins_again_when_its_zygote_was_killed(sandbox: Sandbox) -> None:
    zygote = zygotes._shared[os.getpid(), ("numpy",)]
    zygote._process.send_signal(signal.SIGKILL)
    zygote._process.wait()
    assert sandbox.run("1").variables_lost
    assert sandbox.run("1").value == "1"
    zygote.close()


def test_nothing_is_left_of_a_zygote_that_is_closed() -> None:
    zygote = ZygoteProcess(("json",))
    pid = zygote._process.pid
    assert os.path.isdir(zygote.folder)
    zygote.close()
    assert not os.path.exists(zygote.folder)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_sandboxes_are_used_by_many_threads_at_once() -> None:
    values: list[str | None] = []

    def play(number: int) -> None:
        with Sandbox(packages=("numpy",)) as one:
            one.run(f"x = {number}")
            one.restart()
            one.run(f"y = {number}\nopen('y', 'w').write(str(y))")
            values.append(one.run("'x' in globals(), y, open('y').read()").value)

    threads = [threading.Thread(target=play, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, values)) == [f"(False, {n}, '{n}')" for n in range(8)]
