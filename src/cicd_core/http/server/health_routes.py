"""Health, version and metrics of a server, for its operators."""

from __future__ import annotations

import logging
from datetime import datetime
from importlib.metadata import version
from typing import Final

from cicd_core.errors import StoreClosed, StoreError, StoreUnavailable
from cicd_core.http.server.metrics import MEDIA_TYPE
from cicd_core.http.server.routing import Call, Object, Reply, RouteTable
from cicd_core.http.wire import requests as asked
from cicd_core.model.principal import Scope
from cicd_core.public_json import to_json

_log = logging.getLogger("cicd_core.http")

TABLE: Final = RouteTable("")
#: The version of this program.
VERSION: Final = version("cicd-core")


@TABLE.add("GET", "/health", asked.Nothing, None, gives=Object({"status": str}))
async def health(_: Call, __: asked.Nothing) -> Reply:
    """Return that the process answers."""
    return Reply(value={"status": "healthy"})


@TABLE.add(
    "GET",
    "/health/ready",
    asked.Nothing,
    None,
    gives=Object({"status": str, "store_time": datetime}),
)
async def ready(call: Call, _: asked.Nothing) -> Reply:
    """Return that requests can be answered: the store has returned its time."""
    if call.waiting.is_stopping:
        raise StoreClosed("the server is stopping; use another one")
    try:
        now = await call.plane.now()
    except StoreError as failed:  # the message names the store, which callers here must not see
        _log.warning("not ready: %s", failed)
        raise StoreUnavailable("the store did not answer; the server's log has the cause") from None
    return Reply(value={"status": "ready", "store_time": to_json(now)})


@TABLE.add("GET", "/info", asked.Nothing, None, gives=Object({"name": str, "version": str}))
async def info(_: Call, __: asked.Nothing) -> Reply:
    """Return the name and the version of this server."""
    return Reply(value={"name": "cicd-core", "version": VERSION})


@TABLE.add("GET", "/metrics", asked.Nothing, Scope.JOBS_READ, gives=str, media_type=MEDIA_TYPE)
async def metrics(call: Call, _: asked.Nothing) -> Reply:
    """Return the metrics of this server and of the queue, in Prometheus format."""
    numbers = call.metrics.exposition(
        await call.plane.queue.stats(), waiting=call.waiting.number, streams=call.streams.number
    )
    return Reply(value=numbers, media_type=MEDIA_TYPE)
