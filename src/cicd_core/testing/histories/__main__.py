"""Checks a saved history: ``python -m cicd_core.testing.histories FILE …``."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING

from cicd_core.testing.histories.checking import check_history
from cicd_core.testing.recording.journal import load

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the files of one history; return 1 if no order explains it."""
    parser = ArgumentParser(prog="python -m cicd_core.testing.histories", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument(
        "--any-order",
        action="store_true",
        help="the store promises no order over partitions and commits",
    )
    options = parser.parse_args(arguments)
    history = load(options.files)
    findings = check_history(history, strict_order=not options.any_order)
    for finding in findings:
        sys.stdout.write(f"{finding}\n")
    verdict = f"{len(findings)} findings" if findings else "some order explains them"
    sys.stdout.write(f"{len(history)} operations: {verdict}\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
