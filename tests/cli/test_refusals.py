"""Refused transitions speak of commands that one can type, where there are such."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import typer.main

from cicd_core import IllegalTransition
from cicd_core.cli.app import app
from cicd_core.cli.refusals import WORDS, in_words
from cicd_core.lifecycle.agent_table import AGENT_TABLE
from cicd_core.lifecycle.deployment_table import DEPLOYMENT_TABLE
from cicd_core.lifecycle.job_table import JOB_TABLE

if TYPE_CHECKING:
    from cicd_core.lifecycle.table import TransitionTable


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (
            IllegalTransition("deployment", "d1", "roll_back", "pending", ["fail"], "it is new"),
            "deployment 'd1' is pending: rollback is not possible now (it is new); possible: fail",
        ),
        (
            IllegalTransition("job", "j1", "cancel", "success", []),
            "job 'j1' is success: cancel is not possible now; it has ended",
        ),
        (
            IllegalTransition("job", "j1", "replay", "claimed", ["renew"]),
            "job 'j1' is claimed: replay is not possible now",
        ),
        (
            IllegalTransition("session", "s1", "revoke", "expired", ["open"]),
            "session 's1' is expired: revoke is not possible now",
        ),
    ],
)
def test_refused_transition_is_told_in_words_of_the_command_line(
    refused: IllegalTransition, message: str
) -> None:
    assert in_words(refused) == message


@pytest.mark.parametrize("table", [AGENT_TABLE, DEPLOYMENT_TABLE, JOB_TABLE], ids=lambda t: t.kind)
def test_words_are_commands_of_the_state_machine_and_of_the_command_line(
    table: TransitionTable[Any],
) -> None:
    words = WORDS[table.kind]
    assert words.keys() <= {edge.command for edge in table.edges}
    program: Any = typer.main.get_command(app)
    group = program if table.kind == "job" else program.commands[f"{table.kind}s"]
    assert {*words.values()} <= group.commands.keys()
