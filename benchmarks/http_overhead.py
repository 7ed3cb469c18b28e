"""The CPU of a request through the server, against the same one through bare Starlette.

    python benchmarks/http_overhead.py --rounds 10 --requests 300

Both servers are processes with uvicorn over a store in memory, and enqueue the same job by the same
service. One is the application, whose caller shows an API key that it has seen before; the other is
one route of Starlette that reads the body with ``json``, asks for no key and checks nothing. Rounds
alternate, and only the servers' own CPU time counts, so that other work matters little.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
from http import HTTPStatus
from typing import TYPE_CHECKING

import anyio
import uvicorn
from http_driver import Process, connected, load_of_machine, running
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from cicd_core import ControlPlane, JobSpec, KeySpec, Scope
from cicd_core.http.server import Listening, TokenAccess, serve
from cicd_core.public_json import to_json

if TYPE_CHECKING:
    from starlette.requests import Request

PATH = "/api/queue/jobs"
BODY = {
    "job_type": "shell",
    "payload": {"shell": "make test", "env": {"CI": "1"}},
    "labels": ["linux"],
    "priority": "high",
}


async def serve_application() -> None:
    async with ControlPlane.open("memory://", maintenance=False) as plane:
        issued = await plane.keys.create(KeySpec(name="bench", scopes=[Scope.JOBS_WRITE]))

        def say(url: str) -> None:
            print(url.rpartition(":")[2], issued.token, flush=True)

        auth = TokenAccess(plane.keys, plane.sessions)
        await serve(plane, Listening(port=0), auth=auth, on_ready=say)


async def serve_bare() -> None:
    async with ControlPlane.open("memory://", maintenance=False) as plane:

        async def enqueue(request: Request) -> JSONResponse:
            job = await plane.queue.enqueue(JobSpec(**await request.json()))
            return JSONResponse(to_json(job), 201)

        app = Starlette(routes=[Route(PATH, enqueue, methods=["POST"])])
        config = uvicorn.Config(app, port=0, log_level="warning", access_log=False, lifespan="off")
        server = uvicorn.Server(config)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve)
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await anyio.sleep(0.01)
            print(server.servers[0].sockets[0].getsockname()[1], flush=True)


async def one_round(server: Process, requests: int) -> float:
    """Return the CPU of one request, in microseconds."""
    port, _, token = server.line.partition(" ")
    async with connected(int(port), token) as connection:
        before = server.cpu_seconds()
        for _ in range(requests):
            status, _ = await connection.call("POST", PATH, BODY)
            assert status == HTTPStatus.CREATED, status
        return (server.cpu_seconds() - before) / requests * 1e6


async def measure(rounds: int, requests: int) -> None:
    print(load_of_machine())
    with running([__file__, "application"]) as ours, running([__file__, "bare"]) as bare:
        for server in (ours, bare):
            await one_round(server, requests)
        pairs = [
            (await one_round(ours, requests), await one_round(bare, requests))
            for _ in range(rounds)
        ]
    for name, values in zip(
        ("application", "bare Starlette"), zip(*pairs, strict=True), strict=True
    ):
        print(f"{name:<16} {statistics.median(values):6.0f} µs of CPU a request")
    ratios = sorted(first / second for first, second in pairs)
    print(
        f"ratio            {statistics.median(ratios):6.2f}  ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )
    print(load_of_machine())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server", nargs="?", choices=["application", "bare"])
    parser.add_argument("--rounds", type=int, default=10, metavar="N")
    parser.add_argument("--requests", type=int, default=300, metavar="N", help="of a round")
    given = parser.parse_args()
    if given.server == "application":
        anyio.run(serve_application, backend_options={"use_uvloop": True})
    elif given.server == "bare":
        anyio.run(serve_bare, backend_options={"use_uvloop": True})
    else:
        asyncio.run(measure(given.rounds, given.requests))


if __name__ == "__main__":
    main()
