"""``terraform`` and ``cloudformation``: the tables and the rights as infrastructure code."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from cicd_core.cli.options import JsonOption


def terraform(
    folder: Annotated[
        str | None,
        typer.Argument(
            metavar="[FOLDER]",
            show_default=False,
            help="Folder for the module's files. Default: write all of them to stdout.",
        ),
    ] = None,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite files that were changed by hand.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the Terraform module: tables, indexes, rights, and maintenance as a function."""
    from cicd_core.cli.exits import reporting
    from cicd_core.cli.output import emit
    from cicd_core_dynamodb.cli.target import needed_tables
    from cicd_core_dynamodb.infrastructure import module_files

    with reporting(as_json=as_json):
        made = module_files(needed_tables())
        if folder is not None:
            written = [
                _write(Path(folder) / name, text, force=force) for name, text in made.items()
            ]
            if as_json:
                emit({"files": written})
            else:
                print("\n".join(written))
        elif as_json:
            emit({"files": made})
        else:
            sys.stdout.write("\n".join(f"# --- {name}\n\n{text}" for name, text in made.items()))


def cloudformation(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]", show_default=False, help="File to write. Default: stdout."
        ),
    ] = None,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite a file that was changed by hand.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the CloudFormation template: the same tables and rights, as JSON."""
    from cicd_core.cli.exits import reporting
    from cicd_core.cli.output import emit
    from cicd_core_dynamodb.cli.target import needed_tables
    from cicd_core_dynamodb.infrastructure import template

    with reporting(as_json=as_json):
        text = json.dumps(template(needed_tables()), indent=2) + "\n"
        if file is None:
            sys.stdout.write(text)
            return
        written = _write(Path(file), text, force=force)
        if as_json:
            emit({"files": [written]})
        else:
            print(written)


def _write(path: Path, text: str, *, force: bool) -> str:
    """Write a file, unless it has other content.

    Raises:
        OperationRejected: it has other content, and overwriting is not allowed.
        InvalidInput: it cannot be written.
    """
    from cicd_core.errors import InvalidInput, OperationRejected

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not force and path.exists() and path.read_text(encoding="utf-8") != text:
            raise OperationRejected(f"{path} has other content; check it, then give --force")
        path.write_text(text, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as failed:
        raise InvalidInput("file", str(path), f"cannot write it: {failed}") from failed
    return str(path)
