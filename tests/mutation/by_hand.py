"""Faults in SQL, in the scripts of Redis and in the expressions of DynamoDB: the suite finds each.

From a shell, all of them, those of an engine, or those whose names hold a text::

    python -m tests.mutation.by_hand
    python -m tests.mutation.by_hand redis --only "a renewal" --part 1/4

First the test that a fault names is run over a copy of the store with that fault. Where it passes,
the whole suite, the machine and the histories are run, and the fault counts as survived if these
pass too. It exits with 1 if any fault survived, or is found by another test than it names.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import frozen

from tests.mutation.faults import SOURCES
from tests.mutation.faults_in_expressions import DYNAMODB
from tests.mutation.faults_in_lua import REDIS
from tests.mutation.faults_in_sql import SQLITE

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from tests.mutation.faults import Engine, Fault

ENGINES: Final = {"sqlite": SQLITE, "redis": REDIS, "dynamodb": DYNAMODB}
ROOT: Final = SOURCES.parent
_OPTIONS: Final = ("-q", "-x", "--tb=no", "--no-header", "-p", "no:cacheprovider", "-n", "0")
#: Seconds for a named test: one that waits for a wake-up gives up after two minutes.
_HANG: Final = 400.0
#: How pytest names what failed, in its summary.
_FAILED: Final = re.compile(r"^(?:FAILED|ERROR) \S*::(\w+)", re.MULTILINE)


def main() -> int:
    """Try the faults that were chosen; return 0 if each was found by the test that it names."""
    options = arguments().parse_args()
    chosen = [
        (name, fault)
        for name, engine in ENGINES.items()
        for fault in engine.faults
        if name in (options.engines or ENGINES) and options.only in fault.name
    ]
    number, parts = map(int, options.part.split("/"))
    mine = chosen[number - 1 :: parts]
    found = 0
    for name, faults in groupby(mine, key=itemgetter(0)):
        with Copy.of(ENGINES[name]) as copy:
            tried = [fault for _, fault in faults]
            copy.insist_on_the_original(tried)
            for fault in tried:
                verdict = copy.judged(fault)
                found += verdict == "killed"
                sys.stdout.write(f"{verdict:<9} {name}: {fault.name}  {fault.test}\n")
                sys.stdout.flush()
    sys.stdout.write(f"{found} of {len(mine)} faults were found by the test that they name\n")
    return 0 if found == len(mine) else 1


def arguments() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation.by_hand", description=__doc__)
    parser.add_argument("engines", nargs="*", choices=[*ENGINES, []], help="all by default")
    parser.add_argument("--only", default="", help="a part of the names of faults")
    parser.add_argument("--part", default="1/1", help="such as 1/4: a quarter of them")
    return parser


@frozen
class Copy:
    """A copy of a store's package, in which one file at a time has a fault."""

    engine: Engine
    folder: Path

    @classmethod
    @contextmanager
    def of(cls, engine: Engine) -> Generator[Copy, None, None]:
        """Copy the package of a store into a folder that is gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="cicd-fault-") as name:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(SOURCES / engine.package, Path(name, engine.package), ignore=ignored)
            yield cls(engine, Path(name))

    def judged(self, fault: Fault) -> str:
        """Return how the tests end over a fault: killed, survived, or found by which other test."""
        target = self.folder / fault.file
        target.write_text(fault.altered(), encoding="utf-8")
        try:
            if self.failing(fault.test) is not None:
                return "killed"
            return self.failing() or "survived"
        finally:
            shutil.copy2(SOURCES / fault.file, target)

    def insist_on_the_original(self, faults: Iterable[Fault]) -> None:
        """Run the tests that some faults name without any fault.

        Raises:
            RuntimeError: one of them fails, so that a failure over a fault would prove nothing.
        """
        named = sorted({fault.test for fault in faults})
        failing = self.failing(*named)
        if failing is not None:
            raise RuntimeError(f"{failing} fails over {self.engine.package} without a fault")

    def failing(self, *named: str) -> str | None:
        """Return the first of the named tests that fails over the copy, by default of all.

        None: all pass.

        Raises:
            RuntimeError: no test was run.
        """
        parts = [f"({' or '.join(named)})"] if named else []
        words = " and ".join([*parts, *(f"not {word}" for word in self.engine.without)])
        chosen = ["-m", self.engine.marks, "-k", words, *self.engine.tests]
        bytecode = {"PYTHONPYCACHEPREFIX": str(self.folder / "bytecode")}
        kept = {name: text for name, text in os.environ.items() if "BYTECODE" not in name}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *_OPTIONS, f"--timeout={_HANG}", *chosen],
            cwd=ROOT,
            env={**kept, **bytecode, "PYTHONPATH": f"{self.folder}{os.pathsep}{SOURCES}"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in {0, 1} and done.returncode > 0:
            raise RuntimeError(f"{chosen}: {done.stdout}{done.stderr}")
        failed = _FAILED.search(done.stdout)
        return (failed[1] if failed else "no test") if done.returncode else None


if __name__ == "__main__":
    sys.exit(main())
