"""``python -m cicd_core.testing.new_store NAME``: write the package of a new store."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cicd_core.errors import InvalidInput
from cicd_core.testing.new_store import write_package

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the package; 0: it was written, 2: the name or the folder was refused."""
    given = _parser().parse_args(arguments)
    try:
        folder = write_package(given.name, given.folder)
    except InvalidInput as refused:
        sys.stderr.write(f"nothing was written: {refused}\n")
        return 2
    sys.stdout.write(
        f"{folder} was written; its README.md has the next steps:\n"
        f"  cd {folder}\n  pip install -e '.[test]'\n  pytest -x\n"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cicd_core.testing.new_store",
        description="Write the package of a store: its entry point, verbs that raise an error, a "
        "harness, and the tests that pass as you write the verbs.",
    )
    parser.add_argument("name", metavar="NAME", help="the scheme of its URLs: acme for acme://")
    parser.add_argument(
        "--folder", type=Path, default=Path(), metavar="FOLDER", help="where (default: here)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
