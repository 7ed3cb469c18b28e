"""Faults in the words of an engine: SQL, the scripts of Redis, the expressions of DynamoDB.

No tool makes them, since to it these are texts. Each one replaces a text that stands once in a
file, breaks one promise of the contract, and names the test of the suite that finds it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from attrs import frozen

SOURCES: Final = Path(__file__).parents[2] / "src"


@frozen
class Fault:
    """One text in the place of another."""

    #: What the store does wrong.
    name: str
    #: Below ``src``.
    file: str
    old: str
    new: str
    #: The test that finds it.
    test: str

    def altered(self) -> str:
        """Return the file's text with the fault.

        Raises:
            ValueError: the old text doesn't stand in it exactly once.
        """
        code = (SOURCES / self.file).read_text(encoding="utf-8")
        if code.count(self.old) != 1:
            raise ValueError(f"{self.name}: {self.old!r} must stand once in {self.file}")
        return code.replace(self.old, self.new)


@frozen
class Engine:
    """A store whose engine is spoken to in words of its own."""

    #: The package that is copied, below ``src``.
    package: str
    #: What judges: files of tests and, behind ``::``, classes.
    tests: tuple[str, ...]
    faults: tuple[Fault, ...]
    #: Which of those tests: an expression of marks, and words in the names of those left out.
    marks: str = "not crash and not cluster and not thorough"
    without: tuple[str, ...] = ()
