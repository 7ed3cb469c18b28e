"""The page of the state machines is what the tables make of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

if TYPE_CHECKING:
    from types import ModuleType

SCRIPT = Path(__file__).parents[2] / "docs" / "state_machines.py"


def loaded() -> ModuleType:
    """The script, which stands outside of every package."""
    spec = importlib.util.spec_from_file_location("state_machines", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


state_machines = loaded()
MACHINES: dict[str, Any] = state_machines.MACHINES


def test_the_page_is_up_to_date() -> None:
    page = state_machines.PAGE.read_text(encoding="utf-8")
    assert page == state_machines.rewritten(page), "run `python docs/state_machines.py`"


def test_a_page_without_a_place_for_a_machine_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for 'job'"):
        state_machines.rewritten("# State machines\n")


@pytest.mark.parametrize("name", MACHINES)
def test_a_command_that_is_in_no_diagram_is_refused(name: str) -> None:
    machine = MACHINES[name]
    with pytest.raises(ValueError, match="draw each of"):
        state_machines.described(evolve(machine, diagrams=machine.diagrams[1:]))


@pytest.mark.parametrize("name", MACHINES)
def test_every_state_of_a_machine_is_drawn(name: str) -> None:
    machine = MACHINES[name]
    states = {state for edge in machine.table.edges for state in (edge.source, edge.target)}
    pictures = "".join(state_machines.picture(machine.table, each) for each in machine.diagrams)
    assert [state for state in sorted(states) if state not in pictures] == []
