"""Mutants of a store's verbs, judged by the suite, the machine and the histories.

From a shell, in parts, each of which can be stopped and continued::

    python -m tests.mutation --store memory --sample 400 --seed 1 --part 1/2

The results are lines of JSON in a file; a mutant that stands there is not tried again. The last
lines that are printed tell the score of all parts so far, and which mutants survived.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.mutation.equivalents import reason_by_rule, reason_of
from tests.mutation.generating import MODULES, generate
from tests.mutation.judging import Judge, Verdict
from tests.mutation.results import Results, Score

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.mutation.generating import Mutant

#: Where the results are that are given no place.
RESULTS: Final = Path(".nox", "mutation-results")
SUITES: Final = Path(__file__).with_name("suites.py")
_OPTIONS: Final = (
    "-q",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
    "--timeout=0",
    "--import-mode=importlib",
)
#: How many mutants are tried between two runs without one, which must not fail.
_BETWEEN_CONTROLS: Final = 100
TARGET: Final = 0.95
#: What is noted of a mutant that is equivalent by a rule.
UNTRIED: Final = Verdict("survived", None, 0)


def main() -> int:
    """Try the mutants of a part; return 0 if the score of all that were tried is high enough."""
    options = arguments().parse_args()
    with tempfile.TemporaryDirectory(prefix="cicd-mutants-") as name:
        folder = Path(name)
        mutants = generate(folder, options.store)
        sample = drawn(mutants, options.sample, options.seed)
        results = Results(options.results or RESULTS / f"{options.store}.jsonl")
        if not options.report:
            number, parts = options.part
            run = Run(sample[number - 1 :: parts], results, minutes=options.minutes)
            run.only_survivors = options.survivors
            run.judge(folder, options.store)
    return told(mutants, results)


def arguments() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--store", choices=sorted(MODULES), required=True)
    parser.add_argument("--sample", type=int, help="how many mutants; all of them by default")
    parser.add_argument("--seed", type=int, default=1, help="which mutants (1)")
    parser.add_argument("--part", type=part, default=(1, 1), help="such as 1/4: a quarter of them")
    parser.add_argument("--minutes", type=float, default=60, help="stop after so many minutes (60)")
    parser.add_argument("--results", type=Path, help="the file to continue")
    parser.add_argument("--survivors", action="store_true", help="try those that survived again")
    parser.add_argument("--report", action="store_true", help="try nothing; print the score")
    return parser


def part(text: str) -> tuple[int, int]:
    """Read a part, such as ``1/4``."""
    number, _, parts = text.partition("/")
    if not (number.isdecimal() and parts.isdecimal() and 1 <= int(number) <= int(parts)):
        raise argparse.ArgumentTypeError(f"{text!r} was refused: give k/n, such as 1/4")
    return int(number), int(parts)


def drawn(mutants: Iterable[Mutant], sample: int | None, seed: int) -> list[Mutant]:
    """Return a sample of the mutants, in random order.

    The same seed draws the same ones, as far as the code that they change stays the same.
    """
    ranked = sorted(
        mutants, key=lambda each: hashlib.sha256(f"{seed}{each.digest}".encode()).digest()
    )
    return ranked[:sample]


class Run:
    """The mutants of one part, and where their results go."""

    only_survivors = False

    def __init__(self, mutants: Sequence[Mutant], results: Results, *, minutes: float) -> None:
        self._mutants = mutants
        self._results = results
        self._end = time.monotonic() + 60 * minutes

    def judge(self, folder: Path, store: str) -> None:
        """Collect the tests, and try each mutant that has no result yet."""
        sys.path.insert(0, str(folder))
        files = folder / "files"
        files.mkdir()
        os.environ |= {"CICD_MUTATED_STORE": store, "CICD_MUTATED_FOLDER": str(files)}
        options = [*_OPTIONS, f"--basetemp={folder / 'tests'}", str(SUITES)]
        pytest.main(options, plugins=[Judge(files, self._try_all)])

    def _try_all(self, judge: Judge) -> None:
        judge.learn()
        for number, mutant in enumerate(filter(self._is_wanted, self._mutants)):
            if time.monotonic() > self._end:
                return
            if number % _BETWEEN_CONTROLS == 0:
                self._results.note_control(judge.try_mutant(""))
            by_rule = reason_by_rule(mutant) is not None
            verdict = UNTRIED if by_rule else judge.try_mutant(mutant.name)
            self._results.note(mutant, verdict)
            say(f"{verdict.outcome:9}{mutant.place}  {verdict.test or mutant.change}")

    def _is_wanted(self, mutant: Mutant) -> bool:
        if self.only_survivors:
            return self._results.survived(mutant) and reason_of(mutant) is None
        return not self._results.has(mutant)


def told(mutants: Sequence[Mutant], results: Results) -> int:
    """Print the score of all mutants that were tried; return 0 if it is high enough."""
    score = Score.of(mutants, results)
    for mutant in score.survivors:
        say("\n    ".join((f"survived {mutant.place}", *mutant.change)))
    say(str(score))
    return 0 if score.value >= TARGET else 1


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
