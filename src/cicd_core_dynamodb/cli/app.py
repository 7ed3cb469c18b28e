"""The commands and their names."""

from __future__ import annotations

from typing import Final

import typer

from cicd_core.cli.groups import Commands
from cicd_core_dynamodb.cli.cost import cost
from cicd_core_dynamodb.cli.generating import cloudformation, terraform
from cicd_core_dynamodb.cli.tables import check, create_tables, delete_tables

app: Final = typer.Typer(
    cls=Commands,
    help="Manage the tables of a DynamoDB store: create, check, estimate costs.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

for name, command in (
    ("create-tables", create_tables),
    ("check", check),
    ("delete-tables", delete_tables),
    ("terraform", terraform),
    ("cloudformation", cloudformation),
    ("cost", cost),
):
    app.command(name)(command)
