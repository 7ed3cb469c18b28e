"""A state machine as data."""

from __future__ import annotations

from enum import StrEnum

import pytest

from cicd_core.errors import IllegalTransition
from cicd_core.lifecycle.decision import Decision, unchanged
from cicd_core.lifecycle.table import Edge, TransitionTable, edges_of


class Door(StrEnum):
    OPEN = "open"
    SHUT = "shut"
    WALLED_UP = "walled up"


TABLE = TransitionTable(
    kind="door",
    initial=(Door.OPEN,),
    edges=(
        *edges_of("slam", (Door.OPEN, (Door.SHUT, Door.OPEN))),
        *edges_of("open", (Door.SHUT, (Door.OPEN,))),
        *edges_of("wall up", (Door.OPEN, (Door.WALLED_UP,)), (Door.SHUT, (Door.WALLED_UP,))),
    ),
)


def test_the_edges_of_a_command_are_every_source_with_each_of_its_targets() -> None:
    assert edges_of("slam", (Door.OPEN, (Door.SHUT, Door.OPEN))) == (
        Edge("slam", Door.OPEN, Door.SHUT),
        Edge("slam", Door.OPEN, Door.OPEN),
    )


def test_what_is_not_in_the_table_is_not_legal() -> None:
    assert TABLE.commands(Door.OPEN) == {"slam", "wall up"}
    assert TABLE.targets(Door.OPEN, "slam") == {Door.SHUT, Door.OPEN}
    assert TABLE.targets(Door.OPEN, "open") == frozenset()
    assert TABLE.require("d-1", Door.SHUT, "open") == {Door.OPEN}


def test_a_refusal_says_what_is_legal_instead() -> None:
    with pytest.raises(IllegalTransition) as refused:
        TABLE.require("d-1", Door.SHUT, "slam", reason="it is shut already")
    error = refused.value
    assert (error.kind, error.key, error.state) == ("door", "d-1", "shut")
    assert (error.command, error.legal) == ("slam", ("open", "wall up"))
    assert "(it is shut already)" in str(error)


def test_a_state_that_nothing_leaves_is_said_to_be_final() -> None:
    with pytest.raises(IllegalTransition, match="the state is final"):
        TABLE.require("d-1", Door.WALLED_UP, "open")


def test_a_legal_command_that_is_refused_for_another_reason_is_not_offered() -> None:
    error = TABLE.refusal("d-1", Door.OPEN, "slam", reason="a foot is in it")
    assert error.legal == ("wall up",)


def test_a_refusal_needs_no_reason_besides_the_state() -> None:
    error = TABLE.refusal("d-1", Door.OPEN, "slam")
    assert str(error).startswith(
        "door 'd-1' is open: 'slam' is not legal in that state; legal from open"
    )


def test_a_decision_to_leave_everything_has_nothing_to_commit() -> None:
    value = object()
    assert unchanged(value) == Decision(value, (), (), changed=False)
