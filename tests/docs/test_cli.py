"""The reference of the command line names every command, argument and option, and no other."""

import re
from collections.abc import Iterator
from typing import Any

import typer
from typer.main import get_command

from openenv.cli.main import app
from tests.docs.test_links import ROOT

PAGE = "docs/reference/cli.md"
OF_ALL = "--debug"


def commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with its whole name; one that has commands is none itself."""
    context = typer.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def names_of(command: Any) -> set[str]:
    names: set[str] = set()
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            names.add(parameter.metavar or parameter.name.upper())
        elif not parameter.hidden:
            names.update((*parameter.opts, *parameter.secondary_opts))
    return names - {OF_ALL}


def documented() -> dict[str, set[str]]:
    sections = re.split(r"^##+ ", (ROOT / PAGE).read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {}
    for section in sections[1:]:
        title, _, text = section.partition("\n")
        cells = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
        found[title] = {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    return found


def test_every_command_is_there_with_all_that_it_takes() -> None:
    page = documented()
    for name, command in commands(get_command(app)):
        assert page.pop(name) == names_of(command), name
    # What is left are headings of commands that have commands.
    assert {name: names for name, names in page.items() if names} == {}
