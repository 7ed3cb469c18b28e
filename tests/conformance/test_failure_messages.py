"""A failure of the suite or of the machine says what was promised, asked and answered."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from cicd_core.testing import store_machine
from tests.conformance.faulty_suites import FaultyHarness
from tests.conformance.talking_suites import ClaimsNothing, RenewsNothing
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from cicd_core.store.memory import MemoryBackend

SUITES: Final = Path(__file__).with_name("talking_suites.py")
#: Of each store the topics that ask it for what it does not do.
CHOSEN: Final = {
    "ClaimsNothing": "repeated_claim or leases_are or lease_ends",
    "RenewsNothing": "renewal or renewed",
    "WakesNobody": "wakes_a_waiter or woken or wake_up",
}
FAILURE: Final = re.compile(
    r"^_+ (?:ERROR at setup of )?Test(\w+)\.(test_\w+)\S* _+$", re.MULTILINE
)


@pytest.fixture(scope="module")
def output() -> str:
    """The output of the suites."""
    wanted = " or ".join(f"(Test{store} and ({each}))" for store, each in CHOSEN.items())
    options = ["--tb=short", "-p", "no:cacheprovider", "-n", "0", "-k", wanted]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(SUITES)],
        cwd=SUITES.parents[2],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def failures(output: str) -> dict[tuple[str, str], str]:
    """The text of each failure, by store and test."""
    parts = FAILURE.split(output)[1:]
    return {(parts[at], parts[at + 1]): parts[at + 2] for at in range(0, len(parts), 3)}


@pytest.mark.thorough
def test_no_failure_is_a_riddle(output: str, failures: dict[tuple[str, str], str]) -> None:
    assert len(failures) > 25
    for riddle in ("None is not None", "values to unpack", "ExceptionGroup", "TaskGroup"):
        assert riddle not in output


@pytest.mark.thorough
def test_the_run_ends_with_a_table_of_what_its_calls_cost(output: str) -> None:
    table = output.partition("cicd-core: calls to the stores, and how long they took")[2]
    lines = [line.split() for line in table.splitlines() if line.startswith(("suite", "Test"))]
    assert lines[0] == ["suite", "verb", "calls", "mean", "ms", "longest", "ms", "in"]
    assert {tuple(line[:2]) for line in lines[1:]} == {(f"Test{store}", "all") for store in CHOSEN}
    for line in lines[1:]:
        assert int(line[2].replace(",", "")) > 20


def test_each_failure_names_its_promise_and_a_call(
    failures: dict[tuple[str, str], str],
) -> None:
    lacking = [
        name
        for name, text in failures.items()
        if not re.search(r"the promise \(\w+\): .*\n(?:E .*\n)*E +asked: +\w+\(", text)
    ]
    assert lacking == []


@pytest.mark.thorough
def test_a_claim_that_finds_nothing_is_said_to_answer_nothing(
    failures: dict[tuple[str, str], str],
) -> None:
    text = failures["ClaimsNothing", "test_a_repeated_claim_answers_the_same_and_takes_nothing"]
    assert "the promise (ClaimRepetitionPromises): a repeated claim answers the same" in text
    assert "AssertionError: assert [] == ['1', '2', '3']" in text  # in the fixture that claims
    assert re.search(r"asked: +claim\(Claim\(claim_id=", text)
    assert "answered:  []" in text
    text = failures["ClaimsNothing", "test_leases_are_granted_by_the_stores_clock"]
    assert "AssertionError: claim answered nothing instead of 1" in text


def test_a_renewal_that_is_answered_none_names_the_verb_and_the_request(
    failures: dict[tuple[str, str], str],
) -> None:
    text = failures["RenewsNothing", "test_a_renewal_counts_from_now"]
    assert "AssertionError: renew answered None instead of a value" in text
    assert re.search(r"asked: +renew\(\[Renewal\(collection='items', key='a'", text)
    assert "answered:  [None]" in text


def test_a_wake_up_that_is_lost_names_the_wait(failures: dict[tuple[str, str], str]) -> None:
    text = failures["WakesNobody", "test_every_waiter_is_woken"]
    assert "nothing arrived in time" in text
    assert re.search(r"asked: +wait\(\[Watch\(", text)


@pytest.mark.parametrize(
    ("broken", "verb", "request_", "answered", "right"),
    [
        (ClaimsNothing, "claim", "Claim(claim_id=", "[]", "[('"),
        (RenewsNothing, "renew", "Renewal(collection=", "None", "Renewed("),
    ],
)
def test_the_machine_names_the_verb_the_request_and_both_answers(
    broken: type[MemoryBackend], verb: str, request_: str, answered: str, right: str
) -> None:
    trying = settings(
        max_examples=300,
        stateful_step_count=30,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises(AssertionError) as caught:
        run_state_machine_as_test(store_machine(lambda: FaultyHarness(broken)), settings=trying)
    first, *rest = str(caught.value).splitlines()
    assert first == f"{verb} answers differently from the memory store"
    assert rest[0].startswith(f"asked:    {request_}")
    assert rest[1].startswith(f"answered: {answered}")
    assert rest[2].startswith(f"expected: {right}")
