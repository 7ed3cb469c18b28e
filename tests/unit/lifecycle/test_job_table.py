"""Every state x every command of a job: an edge of the table, a no-op, or a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.errors import IllegalTransition, LeaseLost
from cicd_core.lifecycle.job_table import JOB_TABLE
from cicd_core.model.job import FINAL_STATES, JobState
from tests.unit.lifecycle.job_matrix import COMMANDS, MACHINE, STANDING, S, token_of

if TYPE_CHECKING:
    from cicd_core.lifecycle.decision import Decision
    from cicd_core.model.job import Job

HELD = {S.CLAIMED, S.RUNNING}
#: A command that finds its own effect already there, or nothing to do, and changes nothing.
NO_OPS = {
    ("queued", "submit"),
    ("queued, deadline passed", "submit"),
    ("delayed", "submit"),
    ("delayed, due", "submit"),
    ("cancelled", "cancel"),
    ("running, cancel requested", "cancel"),
    ("running, cancel requested", "request cancel"),
    ("success", "complete, success"),
    ("failed", "complete, failed"),
    ("timeout", "complete, timeout"),
    ("error", "complete, error"),
    ("cancelled", "complete, cancelled"),
    ("dead letter", "complete, error"),
    ("tracked", "record start"),
    ("tracked, deadline passed", "record start"),
    *((name, "start") for name, job in STANDING.items() if job.state is S.RUNNING and job.token),
    *(
        (name, "promote")
        for name, job in STANDING.items()
        if job.state is S.QUEUED and name != "delayed, due"
    ),
    *(
        (name, "expire deadline")
        for name, job in STANDING.items()
        if job.state in {S.PENDING, S.QUEUED, S.CLAIMED} and not name.endswith("deadline passed")
    ),
}
#: A cancel of a job that somebody runs is a request, whose edge is another one.
REQUESTS = {
    (name, "cancel") for name, job in STANDING.items() if job.state is S.RUNNING and not job.tracked
}


def command_of(name: str, given: str) -> str:
    return "request_cancel" if (name, given) in REQUESTS else COMMANDS[given].name


def test_the_table_is_the_machine_that_the_design_draws() -> None:
    edges = {
        (source, command, target)
        for source, commands in MACHINE.items()
        for command, targets in commands.items()
        for target in targets
    }
    assert {(edge.source, edge.command, edge.target) for edge in JOB_TABLE.edges} == edges
    assert len(JOB_TABLE.edges) == len(edges)
    assert (JOB_TABLE.kind, JOB_TABLE.initial) == ("job", (S.PENDING,))


@pytest.mark.parametrize("state", S)
def test_a_state_is_final_exactly_when_no_command_is_legal_there(state: JobState) -> None:
    assert (not JOB_TABLE.commands(state)) == (state in FINAL_STATES)


def test_the_matrix_stands_in_every_state_and_gives_every_command_but_the_stores_own() -> None:
    assert {job.state for job in STANDING.values()} == set(S)
    given = {command.name for command in COMMANDS.values()}
    assert given == {edge.command for edge in JOB_TABLE.edges} - {"renew"}


@pytest.mark.parametrize("name", STANDING)
@pytest.mark.parametrize("given", COMMANDS)
def test_every_command_in_every_state_takes_an_edge_or_is_refused(name: str, given: str) -> None:
    before = STANDING[name]
    try:
        decision = COMMANDS[given].give(before)
    except LeaseLost as lost:
        assert_was_not_the_holder(lost, before, given)
    except IllegalTransition as refused:
        assert (name, given) not in NO_OPS
        assert_says_what_is_legal(refused, before, command_of(name, given))
    else:
        assert_takes_an_edge(decision, name, given)


def assert_was_not_the_holder(lost: LeaseLost, before: Job, given: str) -> None:
    assert COMMANDS[given].of_holder
    assert before.state not in HELD or before.tracked
    assert (lost.job_id, lost.fence) == ("j-1", token_of(before).fence)
    assert "stop the work" in str(lost)


def assert_says_what_is_legal(refused: IllegalTransition, before: Job, command: str) -> None:
    assert (refused.kind, refused.key) == ("job", "j-1")
    assert (refused.state, refused.command) == (before.state.value, command)
    legal = MACHINE[before.state].keys() - {command}
    assert refused.legal == tuple(sorted(legal))
    assert f"job 'j-1' is {before.state.value}: {command!r} is not legal in that state" in str(
        refused
    )
    assert all(each in str(refused) for each in legal)
    assert legal or "the state is final" in str(refused)


def assert_takes_an_edge(decision: Decision[Job], name: str, given: str) -> None:
    before, after = STANDING[name], decision.value
    assert decision.changed == ((name, given) not in NO_OPS)
    if not decision.changed:
        assert after is before
        assert (decision.events, decision.increments) == ((), ())
        return
    legal = MACHINE[before.state][command_of(name, given)]
    assert after.state in legal
    assert decision.events, "every change is told"
    new = after.history[len(before.history) :]
    path = [before.state, *(step.target for step in new)]
    assert [step.source for step in new] == path[:-1]
    assert path[-1] is after.state


@pytest.mark.parametrize(
    ("name", "given"),
    [
        (name, given)
        for name, job in STANDING.items()
        for given, command in COMMANDS.items()
        if command.of_holder and (job.state not in HELD or job.tracked)
        if (name, given) not in NO_OPS
    ],
)
def test_whoever_holds_nothing_is_refused_in_every_verb_of_a_holder(name: str, given: str) -> None:
    with pytest.raises(LeaseLost):
        COMMANDS[given].give(STANDING[name])


def test_each_edge_of_the_table_is_taken_by_a_command() -> None:
    taken = set()
    for name, before in STANDING.items():
        for given, command in COMMANDS.items():
            try:
                decision = command.give(before)
            except (IllegalTransition, LeaseLost):
                continue
            if decision.changed:
                taken.add((before.state, command_of(name, given), decision.value.state))
    # A renewal changes the record's lease alone: the store does it, and no function decides it.
    decided = {
        (edge.source, edge.command, edge.target)
        for edge in JOB_TABLE.edges
        if edge.command != "renew"
    }
    assert taken == decided


@pytest.mark.parametrize("name", [name for name, job in STANDING.items() if job.is_final])
@pytest.mark.parametrize("given", COMMANDS)
def test_nothing_changes_a_job_that_has_ended(name: str, given: str) -> None:
    before = STANDING[name]
    try:
        decision = COMMANDS[given].give(before)
    except (IllegalTransition, LeaseLost):
        return
    assert not decision.changed
    assert decision.value is before
