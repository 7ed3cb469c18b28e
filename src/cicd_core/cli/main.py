"""Where the program ``cicd-core`` begins, and where it ends when something is wrong with us."""

from __future__ import annotations

import io
import os
import sys
import traceback
from contextlib import suppress

from cicd_core.cli.exits import ClosedOutput, ExitCode, reporting


def main() -> None:
    """Run the command line that the process was given; ends in ``SystemExit``."""
    _open_standard_streams()
    try:
        from cicd_core.cli.app import app
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] not in {"rich", "typer"}:
            raise
        sys.stderr.write(
            f"error: {missing.name} is not installed; pip install 'cicd-core[cli]' brings it\n"
        )
        raise SystemExit(int(ExitCode.INVALID)) from None
    # Tables are drawn with more than ASCII: where the terminal has no more, a question mark does.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    code: object = None
    try:
        with reporting(as_json=False, writes=False):  # what is no command: help, usage, a plugin
            try:
                app(prog_name="cicd-core")
            except SystemExit as ended:  # the output is flushed before that
                code = ended.code
    except Exception:  # noqa: BLE001 - what is left is a defect, which has a code of its own
        with suppress(OSError):  # stderr may be full
            traceback.print_exc()
        raise SystemExit(int(ExitCode.DEFECT)) from None
    raise SystemExit(code)


def _open_standard_streams() -> None:
    """Fill the places of standard streams that are closed: a database must not get one of them."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 - stderr
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    # The types don't know it: Python has None where it found a stream closed.
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 - as long as the process
    if sys.stdout is None:
        sys.stdout = ClosedOutput()
