"""What became of the mutants, as lines of JSON that a run adds to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import frozen

from tests.mutation.equivalents import reason_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.mutation.generating import Mutant
    from tests.mutation.judging import Verdict


class Results:
    """The outcome of each mutant that was tried, by what it changes; the last one counts."""

    def __init__(self, path: Path) -> None:
        """Read the file, if it is there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._outcomes: dict[str, str] = {}
        self.controls = 0
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for line in text.splitlines():
            self._take(json.loads(line))

    def note(self, mutant: Mutant, verdict: Verdict) -> None:
        """Add the outcome of a mutant."""
        self._add(
            {
                "mutant": mutant.digest,
                "name": mutant.name,
                "change": mutant.change,
                "outcome": verdict.outcome,
                "test": verdict.test,
                "tests": verdict.tests,
            }
        )

    def note_control(self, verdict: Verdict) -> None:
        """Add the outcome of a run without a mutant.

        Raises:
            RuntimeError: it failed, so that the outcomes before it prove nothing.
        """
        if verdict.outcome != "survived":
            raise RuntimeError(f"without a mutant this test fails: {verdict.test}")
        self._add({"control": verdict.tests})

    def has(self, mutant: Mutant) -> bool:
        """Whether a mutant was tried."""
        return mutant.digest in self._outcomes

    def outcome(self, mutant: Mutant) -> str | None:
        """Return what became of a mutant; None: it was not tried."""
        return self._outcomes.get(mutant.digest)

    def survived(self, mutant: Mutant) -> bool:
        """Whether a mutant was tried, and no test failed."""
        return self.outcome(mutant) == "survived"

    def _add(self, line: dict[str, Any]) -> None:
        self._take(line)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _take(self, line: dict[str, Any]) -> None:
        if "control" in line:
            self.controls += 1
        else:
            self._outcomes[line["mutant"]] = line["outcome"]


@frozen
class Score:
    """How many of the mutants that were tried were found."""

    size: int
    killed: int
    hung: int
    equivalent: int
    survivors: tuple[Mutant, ...]
    controls: int

    @classmethod
    def of(cls, mutants: Sequence[Mutant], results: Results) -> Score:
        """Count the outcomes; what was not tried does not count."""
        alive = [each for each in mutants if results.survived(each)]
        return cls(
            size=len(mutants),
            killed=sum(results.outcome(each) == "killed" for each in mutants),
            hung=sum(results.outcome(each) == "hung" for each in mutants),
            equivalent=sum(reason_of(mutant) is not None for mutant in alive),
            survivors=tuple(mutant for mutant in alive if reason_of(mutant) is None),
            controls=results.controls,
        )

    @property
    def value(self) -> float:
        """Return the part of the mutants that were found, of those that could be."""
        found = self.killed + self.hung
        return found / (found + len(self.survivors)) if found else 0.0

    def __str__(self) -> str:
        tried = self.killed + self.hung + self.equivalent + len(self.survivors)
        return (
            f"{tried} of {self.size} mutants were tried: {self.killed} killed, {self.hung} hung, "
            f"{self.equivalent} equivalent, {len(self.survivors)} survived; score "
            f"{100 * self.value:.1f} %; {self.controls} runs without a mutant passed"
        )
