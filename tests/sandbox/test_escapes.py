"""Every probe of what might get out of the sandbox is refused: here, and in a default container."""

import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openenv.providers.docker_cleanup import IMAGE_LABEL
from openenv.sandbox import Sandbox
from openenv.sandbox.inside.syscalls import ALLOWED
from tests.patience import patient
from tests.sandbox.attempts import LIMITS, attempt, secret_file, wrong_with
from tests.sandbox.probes import PRELUDE, PROBES, Probe

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def secret() -> Iterator[str]:
    path = secret_file()
    yield path
    assert Path(path).read_text() == "the server's own"
    assert os.listdir(os.path.dirname(path)) == ["secret.txt"]
    shutil.rmtree(os.path.dirname(path))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(packages=(), limits=LIMITS) as sandbox:
        yield sandbox


def test_probes_notice_what_is_not_refused(sandbox: Sandbox, secret: str) -> None:
    open_folder = Probe("its own folder", "attempt(os.listdir, '.')")
    result = attempt(open_folder, sandbox, secret)
    assert wrong_with(open_folder, result) == ["GOT []"]
    silent = Probe("nothing", "pass")
    assert wrong_with(silent, attempt(silent, sandbox, secret)) == ["exit code 0: "]


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_it_is_refused(probe: Probe, sandbox: Sandbox, secret: str) -> None:
    assert sandbox.isolation == "landlock"
    assert wrong_with(probe, attempt(probe, sandbox, secret)) == []


def test_system_calls_of_another_architecture_end_the_interpreter(sandbox: Sandbox) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("opt-in: needs a processor that has calls of 32 bits")
    sandbox.restart()
    # int 0x80 with 20 in eax: getpid there, and writev here.
    code = """
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes.fromhex("b814000000cd80c3"))
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
"""
    outcome = sandbox.run(code)
    assert (outcome.exit_code, outcome.variables_lost) == (128 + 31, True)  # SIGSYS


def test_no_system_call_is_let_through_that_is_not_in_the_list(sandbox: Sandbox) -> None:
    sandbox.restart()
    column = {"x86_64": 0, "aarch64": 1}[os.uname().machine]
    # uretprobe and uprobe of x86-64 pass any filter, and kill whoever is not the kernel's probe.
    beyond_filters = {335, 336} if column == 0 else set()
    skipped = beyond_filters | {row[column] for row in ALLOWED.values()}
    code = f"""
NUMBERS = {{}}
{PRELUDE}
let_through = []
for number in set(range(600)) - {skipped}:
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(-1)] * 6)
    if (result, ctypes.get_errno()) != (-1, errno.EPERM):
        let_through.append((number, result, ctypes.get_errno()))
let_through
"""
    outcome = sandbox.run(code)
    assert (outcome.value, outcome.stderr) == ("[]", "")


@pytest.mark.parametrize(
    "code",
    [
        "for number in range(1000):\n    open(str(number), 'wb').write(b'x' * (1 << 20))",
        "for number in range(100_000):\n    open(str(number), 'wb').close()",
        "import os\nfor number in range(100_000):\n    os.mkdir('deeper')\n    os.chdir('deeper')",
    ],
    ids=["many files", "many empty files", "deeper and deeper"],
)
def test_the_disk_cannot_be_filled(code: str, sandbox: Sandbox) -> None:
    sandbox.restart()
    outcome = sandbox.run(code)
    assert outcome.error == "OSError"
    assert "No space left on device" in outcome.stderr
    assert sandbox.run("1 + 1").value == "2"


def test_the_interpreter_knows_no_variables_of_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENENV_TOKEN", "secret")
    with Sandbox(packages=("json",)) as sandbox:
        outcome = sandbox.run("import os\nprint(*os.environ)")
    assert "PATH" in outcome.stdout.split()
    assert "OPENENV_TOKEN" not in outcome.stdout


def test_an_answer_cannot_be_forged_into_something_else(sandbox: Sandbox) -> None:
    sandbox.restart()
    for forged in (b"\xff\xff\xff\xff", b"\0\0\0\x01[", b"\0\0\0\x02{}", b"\0\0\0\0"):
        outcome = sandbox.run(f"import os, time\nos.write(3, {forged!r})\ntime.sleep(60)", 5)
        assert outcome.variables_lost, forged
        assert outcome.exit_code == 137, forged
        assert outcome.duration_s < 5


# ---- in a container


def _archive(*files: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for file in files:
            archive.add(file, f"tests/{file.relative_to(HERE.parent)}")
    return buffer.getvalue()


def _attempts_in(containers: Any, **options: Any) -> dict[str, Any]:
    """Run all probes in a container of the tests' image; return what the program has written."""
    container = containers.client.containers.create(
        containers.image,
        ["python", "-m", "tests.sandbox.attempts"],
        working_dir="/probe",
        labels={IMAGE_LABEL: containers.image},
        **options,
    )
    try:
        container.put_archive(
            "/probe",
            _archive(HERE / "probes.py", HERE / "attempts.py", HERE.parent / "patience.py"),
        )
        container.start()
        status = container.wait(timeout=patient(120))["StatusCode"]
        assert status == 0, container.logs().decode()
        return dict(json.loads(container.logs(stdout=True, stderr=False)))
    finally:
        container.remove(force=True)


@pytest.mark.parametrize("user", ["1000:1000", "0:0"])
def test_everything_is_refused_in_a_default_container(containers: Any, user: str) -> None:
    report = _attempts_in(containers, user=user)
    assert report["isolation"] == "landlock"
    assert {"landlock", "seccomp", "watcher"} <= set(report["layers"])
    assert ("uid" in report["layers"]) == (user == "0:0")
    assert len(report["results"]) == len(PROBES)
    wrong = {probe.name: wrong_with(probe, report["results"][probe.name]) for probe in PROBES}
    assert {name: lines for name, lines in wrong.items() if lines} == {}
