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
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.mutation.faults import SOURCES
from tests.mutation.faults_in_expressions import DYNAMODB
from tests.mutation.faults_in_lua import REDIS
from tests.mutation.faults_in_sql import SQLITE

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.mutation.faults import Engine, Fault

ENGINES: Final = {"sqlite": SQLITE, "redis": REDIS, "dynamodb": DYNAMODB}
ROOT: Final = SOURCES.parent
_CHOSEN: Final = "not crash and not cluster and not thorough"
_OPTIONS: Final = ("-q", "-x", "--tb=no", "--no-header", "-p", "no:cacheprovider", "-n", "0")
#: Seconds for a named test: one that waits for a wake-up gives up after two minutes.
_HANG: Final = 400.0


def main() -> int:
    """Try the faults that were chosen; return 0 if each was found by the test that it names."""
    options = arguments().parse_args()
    chosen = [
        (name, fault)
        for name, engine in ENGINES.items()
        for fault in engine.faults
        if name in (options.engines or ENGINES) and options.only in fault.name
    ]
    for name in {name for name, _ in chosen}:
        insist_on_the_original(ENGINES[name])
    number, parts = map(int, options.part.split("/"))
    found = 0
    mine = chosen[number - 1 :: parts]
    for name, fault in mine:
        verdict = judged(ENGINES[name], fault)
        found += verdict == "killed"
        sys.stdout.write(f"{verdict:9}{name}: {fault.name}  {fault.test}\n")
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


def judged(engine: Engine, fault: Fault) -> str:
    """Return how the tests end over a fault: killed, by another test, or survived."""
    with copied(engine) as folder:
        (folder / fault.file).write_text(fault.altered(), encoding="utf-8")
        if not passes(engine, folder, "-k", fault.test):
            return "killed"
        return "survived" if passes(engine, folder) else "elsewhere"


def insist_on_the_original(engine: Engine) -> None:
    """Run all named tests over a copy without a fault.

    Raises:
        RuntimeError: one of them fails, so that a failure over a fault would prove nothing.
    """
    with copied(engine) as folder:
        named = sorted({fault.test for fault in engine.faults})
        if not passes(engine, folder, "-k", " or ".join(named)):
            raise RuntimeError(f"tests over {engine.package} fail without a fault")


@contextmanager
def copied(engine: Engine) -> Generator[Path, None, None]:
    """Make a folder with a copy of the store's package."""
    with tempfile.TemporaryDirectory(prefix="cicd-fault-") as name:
        folder = Path(name)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(SOURCES / engine.package, folder / engine.package, ignore=ignored)
        yield folder


def passes(engine: Engine, sources: Path, *options: str) -> bool:
    """Whether tests pass over a copy of the sources; a test that hangs does not.

    Raises:
        RuntimeError: no test was run.
    """
    arguments = [*_OPTIONS, f"--timeout={_HANG}", "-m", _CHOSEN, *options, *engine.tests]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(sources), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in {0, 1}:
        raise RuntimeError(f"{options}: {done.stdout}{done.stderr}")
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
