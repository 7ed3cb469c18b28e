"""``pools``: their sizes, their condition, and the scaling signal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cicd_core.cli import completion
from cicd_core.cli.groups import group
from cicd_core.cli.options import ActorOption, CursorOption, JsonOption, LimitOption, StoreOption
from cicd_core.model.amounts import amount

if TYPE_CHECKING:
    from cicd_core.cli.screen import Screen
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.control_plane.pools import PoolStatus
    from cicd_core.model.pool import Pool, PoolSpec
    from cicd_core.persistence.listing import Page
    from cicd_core.queueing.scaling import ScalingSignal

#: More digits than any number of agents has.
_DIGITS: Final = 10
#: Number of attempts of a change while others change the pool.
_TRIES: Final = 5

app = group("Show and size agent pools. Without a command: list them.")

Name = Annotated[
    str,
    typer.Argument(
        metavar="POOL",
        autocompletion=completion.made_pools,
        show_default=False,
        help="A pool's name.",
    ),
]


@app.command("list")
def list_pools(
    *,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List pools, with current counts of agents and jobs."""
    from cicd_core.cli.opening import answer
    from cicd_core.cli.paging import filled
    from cicd_core.cli.tables import pools_table, show_page

    async def work(plane: ControlPlane) -> Page[PoolStatus]:
        from cicd_core.persistence.listing import Page

        page: Page[Pool] = await filled(
            lambda number, start: plane.pools.list(limit=number, cursor=start),
            limit=limit,
            cursor=cursor,
        )
        counted = [await plane.pools.status(each.pool_name) for each in page.items]
        return Page(tuple(counted), page.cursor, page.unreadable)

    def show_list(screen: Screen, page: Page[PoolStatus]) -> None:
        shown = pools_table(screen, page.items)
        show_page(screen, shown, page, nothing="no pools; `pools put NAME` creates one")

    answer(work, show_list, store=store, as_json=as_json)


@app.command()
def show(pool_name: Name, *, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Show one pool, with current counts."""
    from cicd_core.cli.opening import answer

    async def work(plane: ControlPlane) -> PoolStatus:
        return await plane.pools.status(pool_name)

    def in_full(screen: Screen, found: PoolStatus) -> None:
        from cicd_core.cli.details import show_pool

        show_pool(screen, found)

    answer(work, in_full, store=store, as_json=as_json)


@app.command()
def put(
    pool_name: Name,
    *,
    least: Annotated[int, typer.Option("--min", metavar="N", help="Minimum number of agents.")] = 0,
    most: Annotated[int, typer.Option("--max", metavar="N", help="Maximum number of agents.")] = 10,
    target: Annotated[
        int | None,
        typer.Option("--target", metavar="N", help="A fixed size. Default: as the queue needs."),
    ] = None,
    warm: Annotated[
        int, typer.Option("--warm", metavar="N", help="Spare agents beyond the need of the queue.")
    ] = 0,
    slots: Annotated[
        int, typer.Option("--slots", metavar="N", help="Jobs that an agent runs at once.")
    ] = 1,
    region: Annotated[
        str | None,
        typer.Option("--region", metavar="NAME", help="Region of its agents, for people."),
    ] = None,
    zone: Annotated[
        str | None, typer.Option("--zone", metavar="NAME", help="Zone of its agents, for people.")
    ] = None,
    description: Annotated[
        str, typer.Option("--description", metavar="TEXT", help="For people.")
    ] = "",
    meta: Annotated[
        list[str] | None, typer.Option("--meta", metavar="NAME=VALUE", help="Metadata; repeatable.")
    ] = None,
    actor: ActorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a pool, or replace all its fields: omitted fields get their defaults.

    To change some fields, use pools set.
    """
    from cicd_core.cli.inputs import asker, pairs
    from cicd_core.cli.opening import answer

    async def work(plane: ControlPlane) -> Pool:
        from cicd_core.model.pool import PoolSpec

        spec = PoolSpec(
            pool_name=pool_name,
            region=region,
            zone=zone,
            min_agents=least,
            max_agents=most,
            target_agents=target,
            warm_agents=warm,
            slots_per_agent=slots,
            description=description,
            metadata=pairs("meta", meta or ()),
        )
        return await plane.pools.put(spec, actor=asker(actor))

    answer(work, _show_pool, store=store, as_json=as_json, create=True)


@app.command("set")
def set_fields(
    pool_name: Name,
    *,
    least: Annotated[
        int | None, typer.Option("--min", metavar="N", help="Minimum number of agents.")
    ] = None,
    most: Annotated[
        int | None, typer.Option("--max", metavar="N", help="Maximum number of agents.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", metavar="N", help="A fixed size; none: as the queue needs."),
    ] = None,
    warm: Annotated[
        int | None,
        typer.Option("--warm", metavar="N", help="Spare agents beyond the need of the queue."),
    ] = None,
    slots: Annotated[
        int | None, typer.Option("--slots", metavar="N", help="Jobs that an agent runs at once.")
    ] = None,
    region: Annotated[
        str | None, typer.Option("--region", metavar="NAME", help="Empty: none.")
    ] = None,
    zone: Annotated[str | None, typer.Option("--zone", metavar="NAME", help="Empty: none.")] = None,
    description: Annotated[
        str | None, typer.Option("--description", metavar="TEXT", help="For people.")
    ] = None,
    meta: Annotated[
        list[str] | None,
        typer.Option(
            "--meta",
            metavar="NAME=VALUE",
            help="Set metadata, or remove it with an empty value; repeatable.",
        ),
    ] = None,
    actor: ActorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change only the given fields of a pool."""
    from cicd_core.cli.exits import reporting
    from cicd_core.cli.inputs import asker, pairs
    from cicd_core.cli.opening import answer
    from cicd_core.errors import InvalidInput

    given = {
        "min_agents": least,
        "max_agents": most,
        "target_agents": target,
        "warm_agents": warm,
        "slots_per_agent": slots,
        "region": region,
        "zone": zone,
        "description": description,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    with reporting(as_json=as_json):
        metadata = pairs("meta", meta or ())
        if not changes and not metadata:
            raise InvalidInput("pool", pool_name, "give a field to change, such as --max 4")

    async def work(plane: ControlPlane) -> Pool:
        return await change_pool(plane, pool_name, changes, metadata, actor=asker(actor))

    answer(work, _show_pool, store=store, as_json=as_json)


@app.command()
def delete(
    pool_name: Name,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Delete it even if it has jobs or agents; they remain.")
    ] = False,
    actor: ActorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a pool that has no agents, and no jobs that have not ended."""
    from cicd_core.cli.inputs import asker
    from cicd_core.cli.opening import answer

    async def work(plane: ControlPlane) -> str:
        await plane.pools.delete(pool_name, actor=asker(actor), force=force)
        return pool_name

    def show(screen: Screen, deleted: str) -> None:
        screen.show(f"{deleted}: deleted")

    answer(work, show, store=store, as_json=as_json)


@app.command()
def scaling(pool_name: Name, *, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Show how many agents a pool should have, and why."""
    from cicd_core.cli.opening import answer

    async def work(plane: ControlPlane) -> ScalingSignal:
        return await plane.pools.scaling(pool_name)

    def show(screen: Screen, signal: ScalingSignal) -> None:
        from cicd_core.cli.details import show_scaling

        show_scaling(screen, signal)

    answer(work, show, store=store, as_json=as_json)


async def change_pool(
    plane: ControlPlane,
    pool_name: str,
    changes: dict[str, Any],
    metadata: dict[str, str],
    *,
    actor: str,
) -> Pool:
    """Change some fields of a pool; if it changes meanwhile, start again.

    Raises:
        NotFound: there is no such pool.
        InvalidInput: a field is wrong.
        ChangedMeanwhile: other writers kept changing it.
    """
    from cicd_core.errors import ChangedMeanwhile

    tries = _TRIES
    while True:
        seen = await plane.pools.get(pool_name)
        tries -= 1
        try:
            spec = _changed(seen, changes, metadata)
            return await plane.pools.put(spec, actor=actor, expected=seen)
        except ChangedMeanwhile:
            if not tries:
                raise


def _changed(pool: Pool, changes: dict[str, Any], metadata: dict[str, str]) -> PoolSpec:
    """Return the pool's fields after the typed changes.

    Raises:
        InvalidInput: the target is not a number.
    """
    from attrs import fields

    from cicd_core.model.pool import PoolSpec

    known = {each.name: getattr(pool, each.name) for each in fields(PoolSpec)} | changes
    if "target_agents" in changes:
        known["target_agents"] = _target(changes["target_agents"])
    for name in ("region", "zone"):
        known[name] = known[name] or None
    both = {**pool.metadata, **metadata}
    known["metadata"] = {name: value for name, value in both.items() if value}
    return PoolSpec(**known)


def _target(text: str) -> int | None:
    from cicd_core.errors import InvalidInput

    if text == "none":
        return None
    if text.isascii() and text.isdecimal() and len(text) <= _DIGITS:
        return int(text)
    raise InvalidInput("target", text, "give a number of agents, or none")


def _show_pool(screen: Screen, pool: Pool) -> None:
    screen.show(f"{pool.pool_name}: {pool.min_agents} to {amount(pool.max_agents, 'agent')}")
