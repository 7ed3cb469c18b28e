"""``create-tables``, ``check`` and ``delete-tables``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from cicd_core.cli.options import JsonOption
from cicd_core_dynamodb.cli.target import (
    EndpointOption,
    KmsKeyOption,
    NoProtectionOption,
    NoRecoveryOption,
    PrefixOption,
    RegionOption,
    StoreOption,
)

if TYPE_CHECKING:
    from cicd_core_dynamodb.administration import Tables
    from cicd_core_dynamodb.checking import TableFinding


def create_tables(
    *,
    store: StoreOption = None,
    prefix: PrefixOption = None,
    region: RegionOption = None,
    endpoint: EndpointOption = None,
    kms_key: KmsKeyOption = None,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="KEY=VALUE", help="A tag for each table; repeatable."),
    ] = None,
    no_recovery: NoRecoveryOption = False,
    no_deletion_protection: NoProtectionOption = False,
    as_json: JsonOption = False,
) -> None:
    """Create the missing tables, and wait until they can be used.

    New tables are on demand, with TTL, continuous backups and protection against deletion.
    Existing tables get the TTL and backups that they lack; check reports all other differences.
    """
    from cicd_core.cli.exits import reporting
    from cicd_core.cli.output import emit
    from cicd_core_dynamodb.checking import Care
    from cicd_core_dynamodb.cli.target import location_of, run

    async def work(tables: Tables) -> tuple[list[str], list[str]]:
        there = await tables.there()
        return await tables.create(care, _silently if as_json else _aloud), there

    with reporting(as_json=as_json):
        place = location_of(store, prefix, region, endpoint)
        care = Care(
            deletion_protection=not no_deletion_protection,
            recovery=not no_recovery,
            kms_key=kms_key,
            tags=_tags(tag or ()),
        )
        created, there = run(work, place)
        if as_json:
            emit({"prefix": place.prefix, "created": created, "there": there})


def check(
    *,
    store: StoreOption = None,
    prefix: PrefixOption = None,
    region: RegionOption = None,
    endpoint: EndpointOption = None,
    kms_key: KmsKeyOption = None,
    no_recovery: NoRecoveryOption = False,
    no_deletion_protection: NoProtectionOption = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 on advice too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare the tables with the needs of this version, and list the changes to make.

    The exit code is 1 if the store would fail, or be wrong, with the current tables.
    """
    from cicd_core.cli.exits import ExitCode, reporting
    from cicd_core.cli.output import emit
    from cicd_core_dynamodb.checking import Care
    from cicd_core_dynamodb.cli.target import location_of, run

    with reporting(as_json=as_json):
        care = Care(
            deletion_protection=not no_deletion_protection,
            recovery=not no_recovery,
            kms_key=kms_key,
        )
        place = location_of(store, prefix, region, endpoint)
        found = run(lambda tables: tables.check(care), place)
        failed = any(item.needed or strict for item in found)
        if as_json:
            emit({"prefix": place.prefix, "ok": not failed, "findings": found})
        else:
            _show_findings(found, place.prefix)
    if failed:
        raise SystemExit(int(ExitCode.FAILED))


def delete_tables(
    *,
    store: StoreOption = None,
    prefix: PrefixOption = None,
    region: RegionOption = None,
    endpoint: EndpointOption = None,
    confirm: Annotated[
        str | None,
        typer.Option(
            "--confirm",
            metavar="PREFIX",
            help="The prefix again, for scripts. Default: ask for it.",
        ),
    ] = None,
    unprotect: Annotated[
        bool, typer.Option("--unprotect", help="Turn deletion protection off first.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete the tables, with every job, deployment, session and event in them."""
    from cicd_core.cli.exits import reporting
    from cicd_core.cli.output import emit
    from cicd_core_dynamodb.cli.target import location_of, run

    with reporting(as_json=as_json):
        place = location_of(store, prefix, region, endpoint)
        there = run(lambda tables: tables.there(), place)
        if there:
            _require_confirmed(place.prefix, confirm, there)
        tell = _silently if as_json else _aloud
        deleted = run(lambda tables: tables.delete(tell, unprotect=unprotect), place)
        if as_json:
            emit({"prefix": place.prefix, "deleted": deleted})
        elif not deleted:
            print(f"there are no tables with the prefix {place.prefix!r}")


def _require_confirmed(prefix: str, confirm: str | None, names: Sequence[str]) -> None:
    """Refuse to continue unless the user has typed the prefix.

    Raises:
        OperationRejected: the prefix is wrong, or there is no terminal to ask.
    """
    from cicd_core.errors import OperationRejected

    if confirm is None and sys.stdin.isatty():
        sys.stderr.write(f"This deletes these tables and all their items: {', '.join(names)}\n")
        confirm = typer.prompt("Type the prefix again", err=True, default="", show_default=False)
    if not prefix or confirm != prefix:
        reason = "delete tables without a prefix one by one, with other tools"
        if prefix:
            reason = f"type the prefix to confirm it: --confirm {prefix}"
        raise OperationRejected(f"nothing was deleted; {reason}")


def _show_findings(found: Sequence[TableFinding], prefix: str) -> None:
    for item in found:
        kind = "must" if item.needed else "should"
        print(f"{item.table}: {item.found}\n  {kind} change: {item.change}")
    if not any(item.needed for item in found):
        print(f"the tables with the prefix {prefix!r} match the code")


def _tags(given: Sequence[str]) -> dict[str, str]:
    from cicd_core.errors import InvalidInput

    pairs = [item.partition("=") for item in given]
    for key, sign, _ in pairs:
        if not key or not sign:
            raise InvalidInput("tag", key, "give KEY=VALUE")
    return {key: value for key, _, value in pairs}


def _aloud(name: str, happened: str) -> None:
    print(f"{name} {happened}", flush=True)


def _silently(_name: str, _happened: str) -> None:
    pass
