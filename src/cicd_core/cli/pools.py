"""``pools``: how large they may be, how they are, and how many agents they should have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cicd_core.cli.groups import group
from cicd_core.cli.options import ByOption, CursorOption, JsonOption, LimitOption, StoreOption

if TYPE_CHECKING:
    from cicd_core.cli.screen import Screen
    from cicd_core.control_plane.listing import Page
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.control_plane.pools import PoolStatus
    from cicd_core.model.pool import Pool
    from cicd_core.queueing.scaling import ScalingSignal

app = group("See and size the pools of agents. Alone: list them.")

Name = Annotated[str, typer.Argument(metavar="POOL", show_default=False, help="A pool's name.")]


@app.command("list")
def list_pools(
    *,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List pools with their agents and jobs, counted now."""
    from cicd_core.cli.opening import answer
    from cicd_core.cli.paging import filled
    from cicd_core.cli.tables import pools_table, show_page

    async def work(plane: ControlPlane) -> Page[PoolStatus]:
        from cicd_core.control_plane.listing import Page

        page: Page[Pool] = await filled(
            lambda number, start: plane.pools.list(limit=number, cursor=start),
            limit=limit,
            cursor=cursor,
        )
        counted = [await plane.pools.status(each.pool_name) for each in page.items]
        return Page(tuple(counted), page.cursor, page.unreadable)

    def show_list(screen: Screen, page: Page[PoolStatus]) -> None:
        shown = pools_table(screen, page.items)
        show_page(screen, shown, page, nothing="no pools; `pools put NAME` makes one")

    answer(work, show_list, store=store, as_json=as_json)


@app.command()
def show(pool_name: Name, *, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Show one pool, counted now."""
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
    least: Annotated[int, typer.Option("--min", metavar="N", help="The fewest agents.")] = 0,
    most: Annotated[int, typer.Option("--max", metavar="N", help="The most agents.")] = 10,
    target: Annotated[
        int | None,
        typer.Option("--target", metavar="N", help="A fixed size. Left out: what the queue needs."),
    ] = None,
    warm: Annotated[
        int, typer.Option("--warm", metavar="N", help="Agents beyond what the queue needs.")
    ] = 0,
    slots: Annotated[
        int, typer.Option("--slots", metavar="N", help="Jobs an agent runs at once.")
    ] = 1,
    region: Annotated[str | None, typer.Option("--region", metavar="NAME")] = None,
    zone: Annotated[str | None, typer.Option("--zone", metavar="NAME")] = None,
    description: Annotated[str, typer.Option("--description", metavar="TEXT")] = "",
    meta: Annotated[
        list[str] | None, typer.Option("--meta", metavar="NAME=VALUE", help="May be repeated.")
    ] = None,
    by: ByOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a pool, or replace all that it says: what is left out gets its default."""
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
        return await plane.pools.put(spec, by=asker(by))

    def told(screen: Screen, pool: Pool) -> None:
        screen.show(f"{pool.pool_name}: {pool.min_agents} to {pool.max_agents} agents")

    answer(work, told, store=store, as_json=as_json, create=True)


@app.command()
def delete(
    pool_name: Name,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Delete it although it has jobs or agents: they stay.")
    ] = False,
    by: ByOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a pool that has no agents, and no jobs that have not ended."""
    from cicd_core.cli.inputs import asker
    from cicd_core.cli.opening import answer

    async def work(plane: ControlPlane) -> str:
        await plane.pools.delete(pool_name, by=asker(by), force=force)
        return pool_name

    def told(screen: Screen, deleted: str) -> None:
        screen.show(f"{deleted}: deleted")

    answer(work, told, store=store, as_json=as_json)


@app.command()
def scaling(pool_name: Name, *, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Say how many agents a pool should have, and why."""
    from cicd_core.cli.opening import answer

    async def work(plane: ControlPlane) -> ScalingSignal:
        return await plane.pools.scaling(pool_name)

    def told(screen: Screen, signal: ScalingSignal) -> None:
        from cicd_core.cli.details import show_scaling

        show_scaling(screen, signal)

    answer(work, told, store=store, as_json=as_json)
