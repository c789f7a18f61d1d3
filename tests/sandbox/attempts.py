"""The numbers of system calls that probes try, on x86-64 and on aarch64; and the probes' runner.

As a program, `python -m tests.sandbox.attempts`, it tries all probes and writes what came of them
to standard output: so the same probes run where there is no test library, as in a container.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from openenv.sandbox import Limits, Sandbox
from tests.patience import patient
from tests.sandbox.probes import PRELUDE, PROBES, Probe

_NUMBERS = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bind": (49, 200),
    "bpf": (321, 280),
    "capset": (126, 91),
    "chroot": (161, 51),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "connect": (42, 203),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsopen": (430, 430),
    "init_module": (175, 105),
    "io_uring_setup": (425, 425),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "landlock_restrict_self": (446, 446),
    "memfd_create": (319, 279),
    "mknodat": (259, 33),
    "mount": (165, 40),
    "move_mount": (429, 429),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "pivot_root": (155, 41),
    "prctl": (157, 167),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "recvmsg": (47, 212),
    "request_key": (249, 218),
    "rt_sigqueueinfo": (129, 138),
    "sched_setaffinity": (203, 122),
    "seccomp": (317, 277),
    "semget": (64, 190),
    "sendmsg": (46, 211),
    "sendto": (44, 206),
    "setgid": (106, 144),
    "setgroups": (116, 159),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "setpriority": (141, 140),
    "setresuid": (117, 147),
    "settimeofday": (164, 170),
    "setuid": (105, 146),
    "shmget": (29, 194),
    "socket": (41, 198),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "tgkill": (234, 131),
    "tkill": (200, 130),
    "truncate": (76, 45),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vfork": (58, None),
    "vhangup": (153, 58),
}

LIMITS = Limits(memory_bytes=256 << 20, disk_bytes=8 << 20, files=200, open_files=32)


def numbers() -> dict[str, int]:
    column = {"x86_64": 0, "aarch64": 1}[os.uname().machine]
    return {name: row[column] for name, row in _NUMBERS.items() if row[column] is not None}


def attempt(probe: Probe, sandbox: Sandbox, secret: str) -> dict[str, Any]:
    """Run one probe; return its lines, and how it ended."""
    sandbox.restart()
    known = {
        "SECRET": secret,
        "SERVER_FILE": os.path.abspath(__file__),
        "PARENT": os.getpid(),
        "NUMBERS": numbers(),
    }
    names = "\n".join(f"{name} = {value!r}" for name, value in known.items())
    outcome = sandbox.run(f"{names}\n{PRELUDE}\n{probe.code}", timeout_s=patient(20))
    return {
        "lines": outcome.stdout.splitlines(),
        "exit_code": outcome.exit_code,
        "stderr": outcome.stderr,
    }


def wrong_with(probe: Probe, result: dict[str, Any]) -> list[str]:
    """Return what a probe got, or how it ended in place of being refused."""
    got = [line for line in result["lines"] if line not in probe.refusals]
    if result["exit_code"] != 0 or not result["lines"]:
        got.append(f"exit code {result['exit_code']}: {result['stderr']}")
    return got


def secret_file() -> str:
    """Write a file that anybody may read, as far as its mode goes."""
    folder = tempfile.mkdtemp(prefix="openenv-secret-")
    os.chmod(folder, 0o755)
    path = Path(folder, "secret.txt")
    path.write_text("the server's own")
    path.chmod(0o644)
    return str(path)


def main() -> None:
    isolation = sys.argv[1] if len(sys.argv) > 1 else None
    secret = secret_file()
    with Sandbox(packages=(), limits=LIMITS, isolation=isolation) as sandbox:
        results = {probe.name: attempt(probe, sandbox, secret) for probe in PROBES}
        report = {"layers": sandbox.layers, "isolation": sandbox.isolation, "results": results}
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
