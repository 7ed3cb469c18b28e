"""Every status x every command of an agent: an edge of the table, or a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.errors import AgentDeregistered, IllegalTransition
from cicd_core.lifecycle.agent_table import AGENT_TABLE
from tests.unit.lifecycle.agent_matrix import COMMANDS, LEGAL, MACHINE, STANDING, S

if TYPE_CHECKING:
    from cicd_core.model.agent import AgentStatus


def test_the_table_is_the_machine_that_the_design_draws() -> None:
    edges = {
        (source, command, target)
        for source, commands in MACHINE.items()
        for command, targets in commands.items()
        for target in targets
    }
    assert {(edge.source, edge.command, edge.target) for edge in AGENT_TABLE.edges} == edges
    assert len(AGENT_TABLE.edges) == len(edges)
    for source in S:
        assert AGENT_TABLE.commands(source) == MACHINE[source].keys()
        assert AGENT_TABLE.targets(source, "drain") == MACHINE[source].get("drain", set())
    assert AGENT_TABLE.initial == (S.REGISTERING,)


def test_the_matrix_below_stands_in_every_status_and_gives_every_command() -> None:
    assert {status: agent.status for status, agent in STANDING.items()} == {
        status: status for status in S
    }
    assert {name for name, _give in COMMANDS.values()} == {
        edge.command for edge in AGENT_TABLE.edges
    }


@pytest.mark.parametrize("status", S)
@pytest.mark.parametrize("given", COMMANDS)
def test_every_command_in_every_status_takes_an_edge_or_is_refused(
    status: AgentStatus, given: str
) -> None:
    command, give = COMMANDS[given]
    before = STANDING[status]
    legal = MACHINE[status]
    if command in legal:
        decision = give(before)
        assert decision.value.status in legal[command]
        assert decision.changed == bool(decision.events)
        return
    if status is S.TERMINATED and command in {"heartbeat", "drain"}:
        with pytest.raises(AgentDeregistered) as gone:
            give(before)
        assert (gone.value.agent_id, gone.value.status) == ("a-1", "terminated")
        return
    with pytest.raises(IllegalTransition) as refused:
        give(before)
    error = refused.value
    assert (error.kind, error.key) == ("agent", "a-1")
    assert (error.state, error.command) == (status, command)
    assert error.legal == tuple(sorted(legal.keys() - {command}))


@pytest.mark.parametrize(("status", "given"), LEGAL)
def test_a_command_that_is_given_twice_changes_nothing_the_second_time(
    status: AgentStatus, given: str
) -> None:
    _command, give = COMMANDS[given]
    after = give(STANDING[status]).value
    again = give(after)
    assert not again.changed
    assert again.value == after
    assert again.events == ()


def test_each_edge_of_the_table_is_taken_by_a_command() -> None:
    taken = {
        (status, command, give(before).value.status)
        for status, before in STANDING.items()
        for command, give in COMMANDS.values()
        if command in MACHINE[status]
    }
    assert taken == {(edge.source, edge.command, edge.target) for edge in AGENT_TABLE.edges}
