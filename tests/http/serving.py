"""A real server over a control plane, in a thread of its own, on a free port of 127.0.0.1."""

from __future__ import annotations

import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import uvicorn
from anyio import to_thread

from cicd_core.control_plane.job_logs import JobLogService
from cicd_core.http.server import create_app
from cicd_core.http.server.limits import DEFAULT_LIMITS, Limits
from cicd_core.http.server.running import uvicorn_options
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.applications import Starlette

    from cicd_core import ControlPlane
    from cicd_core.http.server import Access
    from cicd_core.job_logs import LogStore


class Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.listens.set()

    @property
    def port(self) -> int:
        port: int = self.servers[0].sockets[0].getsockname()[1]
        return port


class ServerThread:
    """Serves the data of a control plane, as another process would: by a sibling."""

    def __init__(
        self,
        plane: ControlPlane,
        auth: Access | None,
        limits: Limits = DEFAULT_LIMITS,
        logs: LogStore | None = None,
        port: int = 0,
        **options: Any,
    ) -> None:
        self._plane = plane
        self._auth = auth
        self._options = options
        self._logs = logs
        self._port = port
        self._limits = limits
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._server: Server | None = None
        self._app: Starlette | None = None
        self._loop: Any = None
        self._thread = threading.Thread(target=self._run, name="http-server")

    @property
    def waiting(self) -> int:
        """How many requests wait at the server."""
        assert self._app is not None
        number: int = self._app.state.waiting.number
        return number

    @property
    def connections(self) -> int:
        """How many connections the server has."""
        assert self._server is not None
        return len(self._server.server_state.connections)

    def start(self) -> str:
        """Start, and return the URL."""
        self._thread.start()
        assert self._ready.wait(PATIENCE), "the server did not start"
        if self._failure is not None:
            raise self._failure
        assert self._server is not None
        assert self._server.listens.wait(PATIENCE), "the server does not listen"
        return f"http://127.0.0.1:{self._server.port}"

    def stop(self) -> None:
        """Stop in good order: what waits ends, what runs finishes. A second time does nothing."""
        if not self._thread.is_alive():
            return
        assert self._server is not None
        self.stop_waiting()
        self._server.should_exit = True
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the server does not stop"

    def stop_waiting(self) -> None:
        """Let nothing wait any more, as at the beginning of a stop."""
        assert self._app is not None
        self._loop.call_soon_threadsafe(self._app.state.waiting.stop)

    def _run(self) -> None:
        try:
            anyio.run(self._serve)
        except BaseException as failure:  # noqa: BLE001 - it is raised where the test waits
            self._failure = failure
            self._ready.set()

    async def _serve(self) -> None:
        import asyncio  # noqa: PLC0415 - uvicorn's event loop, whatever the test's is

        self._loop = asyncio.get_running_loop()
        async with self._plane.sibling() as twin:
            logs = None if self._logs is None else JobLogService(twin, self._logs)
            self._app = create_app(
                twin,
                auth=self._auth,
                limits=self._limits,
                job_logs=logs,
                status_page=True,
            )
            own = {"log_level": "warning", "proxy_headers": False}
            options = {**uvicorn_options(self._limits), **own, **self._options}
            config = uvicorn.Config(self._app, port=self._port, **options)
            self._server = Server(config)
            self._ready.set()
            await self._server.serve()


@asynccontextmanager
async def serving(
    plane: ControlPlane, auth: Access | None = None, **options: Any
) -> AsyncGenerator[str]:
    """Serve a control plane's data; yields the URL."""
    thread = ServerThread(plane, auth, **options)
    url = await to_thread.run_sync(thread.start)
    try:
        yield url
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(thread.stop)
