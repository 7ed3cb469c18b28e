"""``keys``: API keys of programs and agents that reach the control plane over a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cicd_core.cli import completion
from cicd_core.cli.groups import group
from cicd_core.cli.options import ActorOption, CursorOption, JsonOption, LimitOption, StoreOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from cicd_core.cli.screen import Screen
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.keys.model import ApiKey
    from cicd_core.persistence.listing import Page

app = group("Create, list, rotate and revoke API keys. Without a command: list them.")

KeyId = Annotated[
    str,
    typer.Argument(
        metavar="KEY_ID", autocompletion=completion.keys, show_default=False, help="A key's id."
    ),
]


@app.command("list")
def list_keys(
    *,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List keys, the newest first, including those that ended within 30 days."""
    from cicd_core.cli.opening import answer
    from cicd_core.cli.paging import filled
    from cicd_core.cli.tables import show_page

    async def work(plane: ControlPlane) -> Page[ApiKey]:
        return await filled(
            lambda number, start: plane.keys.list(limit=number, cursor=start),
            limit=limit,
            cursor=cursor,
        )

    def show_list(screen: Screen, page: Page[ApiKey]) -> None:
        shown = _table(screen, page.items)
        show_page(screen, shown, page, nothing="no keys; `keys create NAME` creates one")

    answer(work, show_list, store=store, as_json=as_json)


@app.command()
def create(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", show_default=False, help="The owner or purpose of the key."),
    ],
    *,
    scopes: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="SCOPE", help="A scope, such as jobs:read; repeatable."),
    ] = None,
    agent_id: Annotated[
        str | None,
        typer.Option(
            "--agent",
            metavar="AGENT",
            autocompletion=completion.agents,
            help="Limit the key to this agent.",
        ),
    ] = None,
    pools: Annotated[
        list[str] | None,
        typer.Option(
            "--pool",
            metavar="POOL",
            autocompletion=completion.pools,
            help="Limit the key to this pool; repeatable.",
        ),
    ] = None,
    lasts: Annotated[
        str | None,
        typer.Option(
            "--lasts", metavar="TIME", help="Lifetime, such as 90d. Default: until revoked."
        ),
    ] = None,
    actor: ActorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a key. Its token is shown only now."""
    from cicd_core.cli.inputs import asker, seconds
    from cicd_core.cli.opening import answer

    async def work(plane: ControlPlane) -> dict[str, ApiKey | str]:
        from cicd_core.keys.model import KeySpec

        spec = KeySpec(
            name=name,
            scopes=tuple(scopes or ()),
            agent_id=agent_id,
            pools=tuple(pools or ()),
            ttl_seconds=None if lasts is None else seconds("lasts", lasts),
        )
        issued = await plane.keys.create(spec, actor=asker(actor))
        return {"key": issued.key, "token": issued.token}

    answer(work, _show_token, store=store, as_json=as_json, create=True)


@app.command()
def show(key_id: KeyId, *, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Show one key; its token is not stored."""
    from cicd_core.cli.opening import answer

    async def work(plane: ControlPlane) -> ApiKey:
        return await plane.keys.get(key_id)

    def in_full(screen: Screen, key: ApiKey) -> None:
        screen.show(_table(screen, [key]))

    answer(work, in_full, store=store, as_json=as_json)


@app.command()
def replace(
    key_id: KeyId,
    *,
    overlap: Annotated[
        str, typer.Option("--overlap", metavar="TIME", help="How long the old key stays valid.")
    ] = "1h",
    actor: ActorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a key with the same rights, and let the old one expire."""
    from cicd_core.cli.inputs import asker, seconds
    from cicd_core.cli.opening import answer

    async def work(plane: ControlPlane) -> dict[str, ApiKey | str]:
        issued = await plane.keys.replace(
            key_id, overlap_seconds=seconds("overlap", overlap), actor=asker(actor)
        )
        return {"key": issued.key, "token": issued.token}

    answer(work, _show_token, store=store, as_json=as_json)


@app.command()
def revoke(
    key_id: KeyId,
    *,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="The reason, for the event log.")
    ] = "revoked",
    actor: ActorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Revoke a key: within 5 seconds in every process."""
    from cicd_core.cli.inputs import asker
    from cicd_core.cli.opening import answer

    async def work(plane: ControlPlane) -> ApiKey:
        return await plane.keys.revoke(key_id, actor=asker(actor), reason=reason)

    def said(screen: Screen, key: ApiKey) -> None:
        screen.show(f"{key.key_id} ({key.name}): revoked")

    answer(work, said, store=store, as_json=as_json)


def _show_token(screen: Screen, issued: dict[str, ApiKey | str]) -> None:
    screen.show(_table(screen, [key for key in issued.values() if not isinstance(key, str)]))
    screen.show("The token is shown only once; store it with your secrets:")
    screen.show(str(issued["token"]))


def _table(screen: Screen, keys: Sequence[ApiKey]) -> Table:
    from cicd_core.cli.screen import status, table, text

    shown = table("KEY", "NAME", "STATUS", "SCOPES", "USED", "EXPIRES", fold=("NAME", "SCOPES"))
    for key in keys:
        ended = key.expires_at is not None and key.expires_at <= screen.now
        state = "revoked" if key.revoked_at is not None else "expired" if ended else "active"
        shown.add_row(
            text(key.key_id),
            text(key.name),
            status(state),
            text(", ".join(key.scopes)),
            text(screen.age(key.last_used_at)),
            text("never" if key.expires_at is None else f"{key.expires_at:%Y-%m-%d %H:%M}Z"),
        )
    return shown
