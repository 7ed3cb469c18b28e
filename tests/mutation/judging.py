"""Judges mutants: each one in a child of the process that has collected the tests.

A child runs the tests that go through the mutated function, the quickest first, until one fails.
A test that takes many times as long as it does without a mutant hangs, and so finds the mutant.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import pytest
from attrs import frozen
from mutmut.mutation import trampoline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

#: A test hangs that takes this many times as long as without a mutant, and this many seconds.
_TIMES: Final = 10
_LEAST: Final = 20.0
#: How long a test may take whose duration is not known yet, in seconds.
_UNKNOWN: Final = 300.0


@frozen
class Verdict:
    """How the tests ended over one mutant."""

    #: ``survived``, ``killed`` or ``hung``.
    outcome: str
    #: The test that failed or hung.
    test: str | None
    #: How many tests were begun.
    tests: int


@frozen
class Known:
    """What is known of a test without a mutant."""

    seconds: float
    #: The functions with mutants that it goes through, as mutmut names them.
    functions: frozenset[str]


class _InChild(BaseException):
    """The way out of the parent's work, in a child."""


class Judge:
    """A pytest plugin that runs its own work in the place of pytest's loop of tests."""

    def __init__(self, folder: Path, work: Callable[[Judge], None]) -> None:
        """``work`` calls :meth:`learn`, and then :meth:`try_mutant`.

        ``folder`` holds the files of the children, each in one named by the child's process id.
        """
        self._folder = folder
        self._work = work
        self._known: dict[str, Known] = {}
        self._session: pytest.Session
        self._reporter: _Reporter | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Do the work in the parent; a child comes out of it, and runs the tests chosen for it."""
        self._session = session
        try:
            self._work(self)
        except _InChild:
            return None
        return True

    def learn(self) -> None:
        """Run every test without a mutant, and note how long it takes and what it goes through.

        Raises:
            RuntimeError: a test fails.
        """
        everything = list(self._session.items)
        verdict, known = self._run(everything, "stats")
        if verdict.outcome != "survived":
            raise RuntimeError(f"without a mutant this test fails: {verdict.test}")
        self._known = known

    def try_mutant(self, name: str) -> Verdict:
        """Run the tests that go through a mutant's function; of no mutant (``""``), all tests."""
        function = name.partition("__mutmut_")[0]
        chosen = [
            item
            for item in self._session.items
            if not name or function in self._known[item.nodeid].functions
        ]
        chosen.sort(key=lambda item: self._known[item.nodeid].seconds)
        return self._run(chosen, name)[0] if chosen else Verdict("survived", None, 0)

    def _run(self, chosen: Sequence[pytest.Item], mutant: str) -> tuple[Verdict, dict[str, Known]]:
        """Run some tests in a child, over a mutant."""
        sys.stdout.flush()
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            self._become_child(chosen, mutant, writing)
            raise _InChild
        os.close(writing)
        try:
            return self._heard(self._lines(reading))
        finally:
            os.close(reading)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            for folder in self._folder.glob(f"{child}-*"):
                shutil.rmtree(folder, ignore_errors=True)

    def _become_child(self, chosen: Sequence[pytest.Item], mutant: str, pipe: int) -> None:
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (1, 2):
            os.dup2(nothing, stream)
        self._session.items = list(chosen)
        self._session.config.option.maxfail = 1
        plugins = self._session.config.pluginmanager
        plugins.unregister(name="terminalreporter")  # it writes past the streams above
        plugins.register(_Reporter(pipe))
        trampoline.set_mutant_under_test(mutant)

    def _lines(self, reading: int) -> Iterator[dict[str, Any]]:
        """Yield what a child tells until it ends; a test that hangs is told here."""
        rest, limit = b"", _UNKNOWN
        while True:
            ready, _, _ = select.select([reading], [], [], limit)
            if not ready:
                yield {"event": "hung"}
                return
            data = os.read(reading, 1 << 20)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in map(json.loads, lines):
                known = self._known.get(line.get("test"))
                limit = max(_LEAST, _TIMES * known.seconds) if known else _UNKNOWN
                yield line

    @staticmethod
    def _heard(lines: Iterator[dict[str, Any]]) -> tuple[Verdict, dict[str, Known]]:
        tests: dict[str, Known] = {}
        test, begun, event = None, 0, ""
        for line in lines:
            event = line["event"]
            if event == "begun":
                test, begun = line["test"], begun + 1
            elif event == "ended":
                tests[line["test"]] = Known(line["seconds"], frozenset(line["functions"]))
            elif event in {"failed", "hung"}:
                break
        # A child that ends without a word has died of the mutant.
        outcome = {"finished": "survived", "hung": "hung"}.get(event, "killed")
        return Verdict(outcome, None if outcome == "survived" else test, begun), tests


class _Reporter:
    """Tells the parent, in a child, what becomes of the tests."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._began = 0.0
        self._functions: set[str] = set()
        vars(trampoline)["record_trampoline_hit"] = self._hit  # called where the mutant is "stats"

    def _hit(self, name: str, caller: str | None = None) -> None:
        self._functions.add(name)

    def _tell(self, event: str, **words: Any) -> None:
        os.write(self._pipe, json.dumps({"event": event, **words}).encode() + b"\n")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._functions.clear()
        self._began = time.monotonic()
        self._tell("begun", test=nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._tell("failed", test=report.nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        seconds = time.monotonic() - self._began
        self._tell("ended", test=nodeid, seconds=seconds, functions=sorted(self._functions))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """End at once: what the parent has prepared is not the child's to clean up."""
        self._tell("finished")
        os._exit(0)
