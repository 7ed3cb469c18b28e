"""Writes the reference of the command line from the program itself.

    python docs/cli_reference.py

writes ``docs/reference/cli.md``. A test fails when the page is not what this script makes.
Needs the extra ``cli``.
"""

from __future__ import annotations

import inspect
import re
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer.main

from cicd_core.cli.app import app
from cicd_core.cli.exits import MEANINGS
from cicd_core.cli.plugins import GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = Path(__file__).with_name("reference") / "cli.md"
PROGRAM: Final = "cicd-core"
#: Described once, at the head of the page.
SHARED: Final = ("--store", "--json", "--actor")

_HEAD: Final = """\
# Command line

<!-- made by docs/cli_reference.py -->

`cicd-core` is the extra `cli`. Each command has `--help`.

Most commands take the first two of these options; commands that change something also take the
third:

- `--store URL`, or the variable `CICD_STORE`, names the store. By default it is
  `sqlite:///cicd.db` in the current folder. [Stores](stores.md) lists the URLs. A command that
  has `--server` can use a server instead: `--server https://ci.example.org`, or the variable
  `CICD_SERVER`. The key of the server comes from the variable `CICD_KEY`.
- `--json` prints JSON on stdout, and errors as JSON objects on stderr. Other output is for people
  and may change.
- `--actor WHO`, or the variable `CICD_ACTOR`, names the person who makes a change; histories show
  the name. By default it is the name of the user.

Durations are seconds, or numbers with a unit: `500ms`, `90s`, `5m`, `2h`, `1d`. Instants are
ISO 8601 with a time zone.

## Shell completion

`cicd-core --install-completion` sets up completion for your shell (bash, zsh, fish or PowerShell);
`--show-completion` prints it. It completes commands, options, ids of jobs, agents, deployments
and keys, pools, services and job types. The values come from the 100 newest records of the store
that `--store` or `CICD_STORE` names. Completion never creates a store. It offers no values if the
store does not answer within a second; `CICD_COMPLETION_SECONDS` sets another limit.

## Exit codes

`enqueue --wait` ends with the exit code of its job, where the job has one. All other ends:

"""


def rendered() -> str:
    """Return the whole page."""
    codes = ["| code | meaning |", "|---|---|"]
    codes += [f"| {int(code)} | {meaning} |" for code, meaning in MEANINGS.items()]
    root: Any = typer.main.get_command(app)
    parts = [_HEAD + "\n".join(codes) + "\n"]
    for name, command in commands_of(root).items():
        parts += sections(command, (PROGRAM, name))
    return "\n".join(parts)


def commands_of(group: Any) -> dict[str, Any]:
    """Return the commands of a group by name, those of this distribution's plugins too."""
    with typer.Context(group) as context:
        names = group.list_commands(context)
        ours = [each.name for each in distribution("cicd-core").entry_points.select(group=GROUP)]
        wanted = [name for name in names if name in ours or name in group.commands]
        return {name: group.get_command(context, name) for name in wanted}


def sections(command: Any, path: tuple[str, ...]) -> Iterator[str]:
    """Yield the section of a command, and those of its own commands."""
    yield section(command, path)
    for name, each in getattr(command, "commands", {}).items():
        yield from sections(each, (*path, name))


def section(command: Any, path: tuple[str, ...]) -> str:
    """Return what there is to say of one command."""
    lines = [f"## `{' '.join(path[1:])}`", "", "```text", usage(command, path), "```", ""]
    lines += [prose(command.help or ""), ""]
    own = [each for each in command.params if each.opts[0] not in SHARED]
    if own:
        lines += ["| argument or option | default | what it is |", "|---|---|---|"]
        lines += [*map(row, own), ""]
    options = {each.opts[0]: each.opts for each in command.params}
    shared = [f"`{name}`" for each in SHARED for name in options.get(each, ())]
    if shared:
        lines += [f"And {', '.join(shared)}.", ""]
    return "\n".join(lines)


def usage(command: Any, path: tuple[str, ...]) -> str:
    """Return one line: the command, its arguments, its options."""
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    needed = [each for each in command.params if each.required and each not in arguments]
    end = ["COMMAND"] if hasattr(command, "commands") else []
    if end and command.invoke_without_command:
        end = ["[COMMAND]"]
    words = [f"{each.opts[0]} {each.metavar}" for each in needed]
    return " ".join((*path, "[OPTIONS]", *words, *map(name_of, arguments), *end))


def row(parameter: Any) -> str:
    """Return the row of an argument or an option."""
    text = [prose(parameter.help or "")]
    if parameter.required:
        text.append("Required.")
    if parameter.envvar:
        text.append(f"Variable: `{parameter.envvar}`.")
    cells = (name_of(parameter, code=True), default(parameter), " ".join(text))
    return f"| {' | '.join(each.replace('|', chr(92) + '|') for each in cells)} |"


def name_of(parameter: Any, *, code: bool = False) -> str:
    """Return how a parameter is written."""
    if parameter.param_type_name == "argument":
        name = parameter.metavar or parameter.name.upper()
        if parameter.nargs == -1 and not name.startswith("["):
            name = f"{name} …"
        bare = name if parameter.required or name.startswith("[") else f"[{name}]"
        return f"`{bare}`" if code else bare
    value = "" if parameter.is_flag else f" {parameter.metavar or parameter.name.upper()}"
    return ", ".join(f"`{name}{value}`" for name in (*parameter.opts, *parameter.secondary_opts))


def default(parameter: Any) -> str:
    """Return the default; empty where there is none, or where the text tells it."""
    value = parameter.default
    if callable(value) or value is None or value is False or value == "":
        return ""
    return "yes" if value is True else f"`{value}`"


def prose(text: str) -> str:
    """Return a help text as Markdown: options as code, the lines of a paragraph joined."""
    text = text.replace("*", r"\*")
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(text).strip())
    joined = "\n\n".join(" ".join(each.split()) for each in paragraphs)
    return re.sub(r"(?<![`\w-])(--?[a-z][\w-]*)", r"`\1`", joined)


if __name__ == "__main__":
    PAGE.write_text(rendered(), encoding="utf-8")
    sys.stdout.write(f"{PAGE} is up to date\n")
