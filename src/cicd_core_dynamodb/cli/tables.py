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
    from cicd_core_dynamodb.checking import Finding


def create_tables(
    *,
    store: StoreOption = None,
    prefix: PrefixOption = None,
    region: RegionOption = None,
    endpoint: EndpointOption = None,
    kms_key: KmsKeyOption = None,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="KEY=VALUE", help="A tag of each table; may be repeated."),
    ] = None,
    no_recovery: NoRecoveryOption = False,
    no_deletion_protection: NoProtectionOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make the tables that are missing, and wait until they can be used.

    They are on demand, with TTL, continuous backups and protection against deletion. Those
    that are there get the TTL and backups that they lack; check says what else is wrong.
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
    strict: Annotated[
        bool, typer.Option("--strict", help="Advice makes the exit code 1 too.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare the tables with what this version needs, and say what to change.

    Ends with 1 if the store would fail, or be wrong, as the tables are.
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
        failed = any(each.needed or strict for each in found)
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
            help="The prefix once more, for scripts. Left out: you are asked to type it.",
        ),
    ] = None,
    unprotect: Annotated[
        bool, typer.Option("--unprotect", help="Turn protection against deletion off first.")
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
    """Refuse to go on unless somebody has typed the prefix.

    Raises:
        OperationRejected: it is another one, or nobody is there to be asked.
    """
    from cicd_core.errors import OperationRejected

    if confirm is None and sys.stdin.isatty():
        sys.stderr.write(f"This deletes, with all that they hold: {', '.join(names)}\n")
        confirm = typer.prompt("Type the prefix to go on", err=True, default="", show_default=False)
    if not prefix or confirm != prefix:
        reason = "tables without a prefix are deleted one by one, by other tools"
        if prefix:
            reason = f"type the prefix to confirm it: --confirm {prefix}"
        raise OperationRejected(f"nothing was deleted; {reason}")


def _show_findings(found: Sequence[Finding], prefix: str) -> None:
    for each in found:
        kind = "must" if each.needed else "should"
        print(f"{each.table}: {each.found}\n  {kind} change: {each.change}")
    if not any(each.needed for each in found):
        print(f"the tables with the prefix {prefix!r} are as the code needs them")


def _tags(given: Sequence[str]) -> dict[str, str]:
    from cicd_core.errors import InvalidInput

    pairs = [each.partition("=") for each in given]
    for key, sign, _ in pairs:
        if not key or not sign:
            raise InvalidInput("tag", key, "give KEY=VALUE")
    return {key: value for key, _, value in pairs}


def _aloud(name: str, happened: str) -> None:
    print(f"{name} {happened}", flush=True)


def _silently(_name: str, _happened: str) -> None:
    pass
