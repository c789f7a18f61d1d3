"""A reader who does all that a page says. What becomes of a fenced block is in its info string:

    python file=NAME   written into the page's folder; so is javascript
    python             executed; all of a page share a namespace
    bash               executed in that folder, line by line. `openenv serve` and `openenv replay`
                       go on in the background until the next one, or the end of the page
    text               exactly what the section has printed so far, since its last `text`
    text shape         the same, but for its numbers
    text layout        each line begins with a path that exists
    json, toml, yaml   parsed
    mermaid            the modules that it names exist

Anything else is an error: no block goes untested. (Of an info string a page shows the first word
only.) A page begins in an empty folder that holds a link to `envs`; its port 8000 is a free one.
No library for testing documents knows files, servers in the background and what they print, so
this only borrows a parser of Markdown.
"""

import contextlib
import importlib.util
import io
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tomllib
import types
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from markdown_it import MarkdownIt

from tests.docs.test_links import ROOT
from tests.patience import patient

NUMBER = re.compile(r"\d[\d,.]*")
FILLING = re.compile(r"[ ─]+")


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    place: str
    section: int
    "How many headings stand before it."
    language: str
    options: list[str]
    text: str


def blocks_of(path: Path) -> list[Block]:
    found, section = [], 0
    for token in MarkdownIt().parse(path.read_text(encoding="utf-8")):
        if token.type == "heading_open":
            section += 1
        elif token.type in ("fence", "code_block"):
            assert token.map is not None
            words = token.info.split()
            place = f"{path.name}:{token.map[0] + 1}"
            found.append(Block(place, section, "".join(words[:1]), words[1:], token.content))
    return found


# ---- commands that are checked and not run


def has_make_target(words: list[str]) -> None:
    subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, check=True, capture_output=True)


def is_what_ci_installs(words: list[str]) -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert not [name for name in words[words.index("install") + 1 :] if name not in script]


def is_what_make_does(words: list[str]) -> None:
    assert words[-1] in (".venv", ".venv/bin/activate")
    assert "-m venv $(VENV)" in (ROOT / "Makefile").read_text(encoding="utf-8")


def names_extras(words: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [name for word in words for name in re.findall(r"\[(.+)\]", word)]
    assert asked
    assert set(",".join(asked).split(",")) <= set(project["optional-dependencies"])


def is_executable(words: list[str]) -> None:
    assert os.access(ROOT / words[0], os.X_OK)


def names_tests(words: list[str]) -> None:
    paths = [word for word in words[words.index("pytest") + 1 :] if "/" in word]
    assert not [path for path in paths if not (ROOT / path).exists()]


def has_module_and_flags(words: list[str]) -> None:
    assert importlib.util.find_spec(words[2])
    command = [sys.executable, *words[1:3], "--help"]
    shown = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert not [word for word in words[3:] if word.startswith("-") and word not in shown]


def has_options(words: list[str]) -> None:
    command = [sys.executable, "-m", "openenv.cli", words[1], "--help"]
    shown = subprocess.run(
        command, env=environ(), check=True, capture_output=True, text=True
    ).stdout
    assert not [word for word in words[2:] if word.startswith("--") and word not in shown]


NEEDS_DOCKER = "needs Docker: tests/cli/test_end_to_end.py runs it"

# How a command begins -> (why it is not run, what is checked instead).
NOT_RUN: dict[str, tuple[str, Callable[[list[str]], None]]] = {
    "make ": ("installs into the checkout, and runs this very test", has_make_target),
    "apt-get install ": ("needs root", is_what_ci_installs),
    "python3 -m venv ": ("the tests run in an environment made so", is_what_make_does),
    ". .venv/bin/activate": ("the tests run in an environment made so", is_what_make_does),
    "pip install -e ": ("would install into the environment of the tests", names_extras),
    "openenv build ": (NEEDS_DOCKER, has_options),
    "openenv push ": (NEEDS_DOCKER, has_options),
    "openenv run ": (NEEDS_DOCKER, has_options),
    "openenv stop ": (NEEDS_DOCKER, has_options),
    ".ci/run": ("runs this very test", is_executable),
    "pytest": ("runs this very test", names_tests),
    "python -m pytest": ("runs this very test", names_tests),
    "python -m benchmarks": ("takes minutes", has_module_and_flags),
}

# What is run in place of a target of make; the target's recipe must say so.
STANDS_FOR = {"make demo": "openenv demo"}


# ---- a reader who does all that a page says


@dataclass
class Reader:
    """Follows one page, block by block, in an empty folder."""

    folder: Path
    stack: ExitStack
    port: int
    printed: str | None = None
    "What the section has printed so far, since its last `text`; None if nothing was run."
    namespace: types.ModuleType = field(default_factory=lambda: types.ModuleType("page"))
    server: subprocess.Popen[str] | None = None
    section: int = 0
    has_docker: bool = False
    "Whether commands that need Docker are run, too."
    python: Path = Path(sys.executable)
    "Of the installation whose commands are run."

    def follow(self, page: Path) -> None:
        for block in blocks_of(page):
            self.take(block)
        self.stop_server()

    def take(self, block: Block) -> None:
        if block.section != self.section:
            self.section, self.printed = block.section, None
        try:
            do = getattr(self, f"do_{block.language or 'nothing'}", None)
            assert do is not None, f"blocks of this kind are not tested.\n{__doc__}"
            do(block)
        except Exception as error:
            error.add_note(f"{block.place}: this block failed")
            raise

    def do_python(self, block: Block) -> None:
        if self.write(block):
            return
        text = block.text.replace("8000", str(self.port))
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(text, block.place, "exec"), vars(self.namespace))
        self.note(out.getvalue())

    def do_javascript(self, block: Block) -> None:
        assert self.write(block), "JavaScript runs in browsers only: give it a file"

    def do_bash(self, block: Block) -> None:
        for line in block.text.replace("\\\n", " ").splitlines():
            command = line.partition("  #")[0].strip()
            if command and not command.startswith("#"):
                self.note(self.run(command))

    def do_text(self, block: Block) -> None:
        if "layout" in block.options:
            paths = [line.split()[0] for line in block.text.splitlines() if line.strip()]
            missing = [path for path in paths if not (ROOT / path).exists()]
            assert not missing, missing
            return
        assert self.printed is not None, "no block before it prints anything"
        same = shape if "shape" in block.options else str
        assert same(self.printed) == same(block.text), f"what was printed:\n{self.printed}"
        self.printed = None

    def do_json(self, block: Block) -> None:
        json.loads(block.text)

    def do_toml(self, block: Block) -> None:
        tomllib.loads(block.text)

    def do_yaml(self, block: Block) -> None:
        yaml.safe_load(block.text)

    def do_mermaid(self, block: Block) -> None:
        missing = missing_modules(block.text)
        assert not missing, missing

    def write(self, block: Block) -> bool:
        """Write the file that a block names; False if it names none."""
        files = [option.removeprefix("file=") for option in block.options if "file=" in option]
        for name in files:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text.replace("8000", str(self.port)), encoding="utf-8")
        return bool(files)

    def run(self, command: str) -> str:
        """Run a command and return what it printed, or check what can be checked of it."""
        if command in STANDS_FOR:
            recipe = subprocess.run(
                # Make that runs this test would have its child speak of folders too.
                ["make", "--no-print-directory", "--dry-run", *command.split()[1:]],
                cwd=ROOT,
                capture_output=True,
                text=True,
            ).stdout
            command = STANDS_FOR[command]
            assert recipe.splitlines()[-1].endswith(command), recipe
        for beginning, (why, check) in NOT_RUN.items():
            is_run = self.has_docker and why == NEEDS_DOCKER
            if f"{command} ".startswith(beginning) and not is_run:
                check(shlex.split(command))
                return ""
        if command.startswith(("openenv serve ", "openenv replay ")):
            return self.serve(command)
        done = subprocess.run(
            ["bash", "-c", command.replace("8000", str(self.port))],
            cwd=self.folder,
            env=environ(self.python),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=patient(100),
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout

    def serve(self, command: str) -> str:
        """Start a server in place of the last one; return the line in which it says so."""
        self.stop_server()
        self.server = subprocess.Popen(
            ["bash", "-c", f"exec {command} --port {self.port}"],
            cwd=self.folder,
            env=environ(self.python),
            stdout=subprocess.PIPE,
            stderr=self.stack.enter_context((self.folder / "server.log").open("w")),
            text=True,
        )
        assert self.server.stdout is not None
        line = self.server.stdout.readline()
        assert line, f"{command}: {(self.folder / 'server.log').read_text(encoding='utf-8')}"
        return line

    def stop_server(self) -> None:
        server, self.server = self.server, None
        if server is not None:
            server.terminate()
            server.communicate(timeout=patient(30))

    def note(self, printed: str) -> None:
        """Remember what was printed, as the page would show it."""
        self.printed = (self.printed or "") + printed.replace(str(self.port), "8000")


def environ(python: Path = Path(sys.executable)) -> dict[str, str]:
    path = f"{python.parent}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "COLUMNS": "80", "NO_COLOR": "1"}


def shape(text: str) -> str:
    return FILLING.sub(" ", NUMBER.sub("#", text))


def missing_modules(text: str) -> list[str]:
    """Files, folders and modules of ours that a text names and that do not exist."""
    paths = re.findall(r"[\w/]+\.py\b|\b[a-z_]+/(?=[\s\"\])])", text)
    missing = [path for path in paths if not exists(path)]
    for name in re.findall(r"\bopenenv(?:\.\w+)+", text):
        module = ROOT / name.replace(".", "/")
        if not module.exists() and not module.with_suffix(".py").exists():
            missing.append(name)
    return missing


def exists(path: str) -> bool:
    return (ROOT / path).exists() or (ROOT / "openenv" / path).exists()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def reading(folder: Path) -> Iterator[Reader]:
    """Yield a reader whose page begins in this folder."""
    (folder / "envs").symlink_to(ROOT / "envs")
    with ExitStack() as stack:
        stack.enter_context(contextlib.chdir(folder))
        reader = Reader(folder, stack, free_port())
        stack.callback(reader.stop_server)
        # Where classes of the page's own look for the names in their annotations.
        sys.modules[reader.namespace.__name__] = reader.namespace
        stack.callback(sys.modules.pop, reader.namespace.__name__)
        yield reader
