"""The entry point of the program ``cicd-core``, which also reports its own bugs."""

from __future__ import annotations

import io
import os
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

from cicd_core.cli.exits import ClosedOutput, ExitCode, report_usage, reporting

if TYPE_CHECKING:
    from collections.abc import Callable

#: The smallest width of a terminal that ``COLUMNS`` may set; less is no terminal.
_LEAST_COLUMNS = 20


def main() -> None:
    """Run the command line of the process; ends with ``SystemExit``."""
    _open_standard_streams()
    _drop_useless_width()
    try:
        from cicd_core.cli.app import program
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] not in {"rich", "typer"}:
            raise
        sys.stderr.write(
            f"error: {missing.name} is not installed; run pip install 'cicd-core[cli]'\n"
        )
        raise SystemExit(int(ExitCode.INVALID)) from None
    # Tables use more than ASCII: on an ASCII terminal, question marks replace it.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    code: object = None
    args, as_json = json_first(sys.argv[1:])
    try:
        with reporting(as_json=as_json, writes=False):  # not commands: help, usage, a plugin
            try:
                name = next((word for word in args if not word.startswith("-")), None)
                code = _run(program(name), args, as_json=as_json)
            except SystemExit as ended:  # the output is flushed before that
                code = ended.code
    except Exception:  # noqa: BLE001 - the rest are bugs, which have their own code
        with suppress(OSError):  # stderr may be full
            traceback.print_exc()
        raise SystemExit(int(ExitCode.DEFECT)) from None
    raise SystemExit(code)


def json_first(args: list[str]) -> tuple[list[str], bool]:
    """Return the words with ``--json`` before the command's other options; was it given?

    It may be anywhere before ``--``, after which the words belong to another program. After an
    option without its value, it would be taken as that value.
    """
    end = args.index("--") if "--" in args else len(args)
    words = [word for word in args[:end] if word != "--json"]
    if len(words) == end:
        return args, False
    name = next((at for at, word in enumerate(words) if not word.startswith("-")), None)
    if name is None:  # the program alone, and its own options
        return [*words, *args[end:]], True
    options = (at for at, word in enumerate(words) if at > name and word.startswith("-"))
    place = next(options, len(words))
    return [*words[:place], "--json", *words[place:], *args[end:]], True


def _run(command: Callable[..., object], args: list[str], *, as_json: bool) -> object:
    """Run the words; with ``--json``, a wrong option is reported as JSON too."""
    from typer.exceptions import TyperException

    if not as_json:
        return command(args, prog_name="cicd-core")
    try:
        ended = command(args, prog_name="cicd-core", standalone_mode=False)
    except TyperException as wrong:
        report_usage(wrong.format_message() or "give a command; `cicd-core --help` lists them")
        return getattr(wrong, "exit_code", int(ExitCode.INVALID))
    return ended if isinstance(ended, int) else 0


def _drop_useless_width() -> None:
    """Ignore a width that shows nothing: rich prints empty lines, or none, for ``COLUMNS=0``."""
    columns = os.environ.get("COLUMNS", "")
    if not columns.isdecimal() or int(columns) < _LEAST_COLUMNS:
        os.environ.pop("COLUMNS", None)


def _open_standard_streams() -> None:
    """Fill the descriptors of closed standard streams: a database must not get one of them."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 - stderr
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    # The types omit this: Python has None for a closed stream.
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 - as long as the process
    if sys.stdout is None:
        sys.stdout = ClosedOutput()
