"""Every status x every command of a deployment: an edge of the table, or a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.errors import IllegalTransition
from cicd_core.lifecycle.deployment_table import DEPLOYMENT_TABLE
from tests.unit.lifecycle.deployment_matrix import (
    COMMANDS,
    LEGAL,
    MACHINE,
    REPETITION,
    STANDING,
    S,
    is_legal,
)

if TYPE_CHECKING:
    from cicd_core.model.deployment import DeploymentStatus


def test_the_table_is_the_machine_that_the_design_draws() -> None:
    edges = {
        (source, command, target)
        for source, commands in MACHINE.items()
        for command, targets in commands.items()
        for target in targets
    }
    assert {(edge.source, edge.command, edge.target) for edge in DEPLOYMENT_TABLE.edges} == edges
    assert len(DEPLOYMENT_TABLE.edges) == len(edges)
    for source in S:
        assert DEPLOYMENT_TABLE.commands(source) == MACHINE[source].keys()
        assert DEPLOYMENT_TABLE.targets(source, "fail") == MACHINE[source].get("fail", set())
    assert DEPLOYMENT_TABLE.initial == (S.PENDING,)


def test_the_matrix_below_stands_in_every_status_and_gives_every_command() -> None:
    assert {value.status for value in STANDING.values()} == set(S)
    commands = {edge.command for edge in DEPLOYMENT_TABLE.edges}
    assert {command for command, _target in COMMANDS} == commands


@pytest.mark.parametrize("standing", STANDING)
@pytest.mark.parametrize(("command", "target"), COMMANDS)
def test_every_command_in_every_status_takes_an_edge_or_is_refused(
    standing: str, command: str, target: DeploymentStatus | None
) -> None:
    before = STANDING[standing]
    give = COMMANDS[command, target]
    if (standing, command, target) == REPETITION:
        assert not give(before).changed
        return
    if is_legal(before, command, target):
        decision = give(before)
        assert decision.changed
        assert decision.value.status is (target or before.status)
        assert decision.events
        return
    with pytest.raises(IllegalTransition) as refused:
        give(before)
    error = refused.value
    assert (error.kind, error.key) == ("deployment", "d-1")
    assert (error.state, error.command) == (before.status, command)
    assert error.legal == tuple(sorted(MACHINE[before.status].keys() - {command}))
    assert before.status.value in str(error)


@pytest.mark.parametrize(("standing", "command", "target"), LEGAL)
def test_a_command_that_is_given_twice_changes_nothing_the_second_time(
    standing: str, command: str, target: DeploymentStatus | None
) -> None:
    before = STANDING[standing]
    give = COMMANDS[command, target]
    after = give(before).value
    again = give(after)
    assert not again.changed
    assert again.value is after
    assert again.events == ()
    assert again.increments == ()


@pytest.mark.parametrize(("standing", "command", "target"), LEGAL)
def test_every_step_of_a_history_is_an_edge_and_ends_where_the_next_begins(
    standing: str, command: str, target: DeploymentStatus | None
) -> None:
    value = COMMANDS[command, target](STANDING[standing]).value
    edges = {(edge.source, edge.target) for edge in DEPLOYMENT_TABLE.edges}
    first, *steps = value.history
    assert (first.source, first.target) == (None, S.PENDING)
    assert all((each.source, each.target) in edges for each in steps)
    assert [each.source for each in steps] == [each.target for each in value.history[:-1]]
    assert value.history[-1].target is value.status
