"""The program of the zygote: imports packages once, and forks a confined interpreter when asked.

It has one thread and no secrets, for its memory is what untrusted code begins with. It ends when
whoever started it does, and its children with it. What it is asked is in sandbox/zygote.py.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import sys
import sysconfig
from contextlib import suppress
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
from pathlib import Path
from typing import Any

from openenv.sandbox import frames
from openenv.sandbox.inside import landlock, mounts
from openenv.sandbox.inside.confinement import confine
from openenv.sandbox.inside.interpreter import Interpreter, begin_random_numbers
from openenv.sandbox.inside.kernel import SandboxSetupError

MAX_ORDER_BYTES = 1 << 16
# How soon those who were killed are buried.
REAP_S = 0.02
THIRD_PARTY = {"site-packages", "dist-packages"}
LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo")
FILES = ("/etc/ld.so.cache", "/etc/localtime")
# What snippets import most, and what numpy leaves until it is asked.
PRELOADED = (
    "bisect", "collections", "copy", "dataclasses", "datetime", "enum", "functools", "heapq",
    "itertools", "json", "math", "operator", "random", "re", "string", "time", "typing",
)  # fmt: skip
NUMPY_RANDOM = ("numpy.random",)
COMM, STDOUT, STDERR = range(3)


class Zygote:
    """Serves one control socket, whose messages each come whole."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.children: set[int] = set()
        self.dying: set[int] = set()
        self.readable: dict[str, int] = {}
        self.may_change_user = False

    def serve(self, packages: list[str], folder: str) -> None:
        """Import packages, then do what is asked until there is nobody who could ask.

        At the end nothing is left in `folder`, which has those of the children.
        """
        reply = self._prepare(packages)
        self.control.send(json.dumps(reply).encode())
        while "error" not in reply:
            self._wait_for_request()
            message, fds, _, _ = socket.recv_fds(self.control, MAX_ORDER_BYTES, 3)
            if not message:
                break
            request = json.loads(message)
            answer = getattr(self, f"do_{request.pop('do')}")
            self.control.send(json.dumps(answer(fds=fds, **request)).encode())
            for fd in fds:
                os.close(fd)
        for pid in self.children:
            _kill(pid)
            os.waitpid(pid, 0)
        shutil.rmtree(folder, ignore_errors=True)

    def do_start(self, order: Any, fds: list[int]) -> dict[str, int]:
        """Fork an interpreter, which says on its socket how it is confined."""
        pid = os.fork()
        if pid == 0:
            _be_interpreter(self, order, fds)
        self.children.add(pid)
        return {"pid": pid}

    def do_interrupt(self, pid: int, fds: list[int]) -> dict[str, int]:
        """Interrupt what a child runs. Its id is its own until it has been waited for."""
        if pid in self.children:
            os.kill(pid, signal.SIGINT)
        return {}

    def do_end(self, pid: int, fds: list[int]) -> dict[str, int]:
        """Kill a child, unless it is dead already; return how it ended, as os.wait does."""
        self.children.discard(pid)
        _kill(pid)
        return {"status": os.waitpid(pid, 0)[1]}

    def do_discard(self, pid: int, fds: list[int]) -> dict[str, int]:
        """Kill a child and do not wait: the kernel takes milliseconds to unmake its mounts."""
        self.children.discard(pid)
        self.dying.add(pid)
        _kill(pid)
        return {}

    def _wait_for_request(self) -> None:
        """Wait, and meanwhile for children that are dying."""
        while self.dying and not select.select([self.control], [], [], REAP_S)[0]:
            self.dying = {pid for pid in self.dying if os.waitpid(pid, os.WNOHANG)[0] == 0}

    def _prepare(self, packages: list[str]) -> dict[str, str]:
        try:
            for package in (*PRELOADED, *packages, *NUMPY_RANDOM * ("numpy" in packages)):
                importlib.import_module(package)
        except Exception as error:  # noqa: BLE001 - told to whoever asked for the package
            return {"error": f"cannot import {package}: {type(error).__name__}: {error}"}
        needed, self.readable = _what_python_reads()
        with suppress(SandboxSetupError):
            mounts.unshare_mounts()
            mounts.make_reachable(needed)
        # Another user who cannot reach them could import nothing.
        self.may_change_user = mounts.are_reachable(needed)
        # Packages are found because they are loaded; whatever else the server has is not there.
        sys.path[:] = ["", *filter(_is_of_python, sys.path)]
        sys.meta_path[:] = [BuiltinImporter, FrozenImporter, PathFinder]
        for name in [name for name in sys.modules if name.partition(".")[0] == "openenv"]:
            del sys.modules[name]
        # Collecting would copy the pages that all children share.
        gc.collect()
        gc.freeze()
        return {}


def _what_python_reads() -> tuple[list[str], dict[str, int]]:
    """Return the folders that importing needs, and everything that may be read.

    Where the server's packages lie below the standard library, all names may be listed there, but
    only packages that are loaded can be read.
    """
    stdlib = _stdlib()
    readable = dict.fromkeys(LIBRARIES, landlock.READ_TREE)
    for folder in stdlib:
        if not any(path.startswith(folder + os.sep) for path in filter(_is_third_party, sys.path)):
            readable[folder] = landlock.READ_TREE
            continue
        readable[folder] = landlock.READ_DIR
        entries = (entry for entry in os.scandir(folder) if not _is_third_party(entry.path))
        readable |= dict.fromkeys((entry.path for entry in entries), landlock.READ_TREE)
    libraries = Path(sys.base_prefix, "lib").glob("*.so*")
    for file in (*FILES, *map(str, libraries)):
        readable[file] = landlock.READ_FILE | landlock.EXECUTE
    packages = _loaded_packages(stdlib)
    readable |= dict.fromkeys(packages, landlock.READ_TREE)
    return sorted({*stdlib, *packages, str(Path(sys.base_prefix, "lib"))}), readable


def _stdlib() -> set[str]:
    return {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}


def _is_of_python(path: str) -> bool:
    is_below = any(f"{path}{os.sep}".startswith(f"{folder}{os.sep}") for folder in _stdlib())
    return is_below and not _is_third_party(path)


def _is_third_party(path: str) -> bool:
    return not THIRD_PARTY.isdisjoint(Path(path).parts)


def _loaded_packages(stdlib: set[str]) -> list[str]:
    """Return the folders of packages that are loaded, and of the libraries beside them."""
    folders = set()
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__path__", None)
        if "." in name or name == "openenv" or not path:
            continue
        for folder in map(str, path):
            if os.path.dirname(folder) not in stdlib:
                folders |= {folder, f"{folder}.libs"}
    return sorted(folder for folder in folders if os.path.isdir(folder))


def _be_interpreter(zygote: Zygote, order: Any, fds: list[int]) -> None:
    """Go on as a confined interpreter; never returns."""
    try:
        zygote.control.close()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        interpreter = Interpreter(order.pop("value_chars"), order.pop("file_bytes"))
        begin_random_numbers(order.pop("seed"))
        _take(fds)
        try:
            layers = confine(order, zygote.readable, zygote.may_change_user)
        except (OSError, SandboxSetupError) as error:
            frames.write(3, {"error": str(error)})
            os._exit(1)
        os.environ.update({"HOME": order["folder"], "TMPDIR": order["folder"]})
        frames.write(3, {"layers": layers})
        interpreter.serve()
        os._exit(0)
    finally:
        os._exit(1)


def _take(fds: list[int]) -> None:
    """Have the three descriptors as 1, 2 and 3, and no other than 0."""
    # First out of the way, for they may be any of 1, 2 and 3.
    high = [os.dup(fd) for fd in fds]
    for fd, number in ((high[STDOUT], 1), (high[STDERR], 2), (high[COMM], 3)):
        os.dup2(fd, number)
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))


def _kill(pid: int) -> None:
    # Its group, which it has from its first moment on, or itself before.
    for kill in (os.killpg, os.kill):
        with suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)


def main() -> None:
    """Serve the control socket, which is standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    Zygote(control).serve(json.loads(sys.argv[1]), sys.argv[2])
