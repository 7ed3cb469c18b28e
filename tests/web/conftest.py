"""A real browser, a real server, and a store with one of everything."""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
from anyio import to_thread
from anyio.from_thread import start_blocking_portal
from attrs import define
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from cicd_core import ControlPlane
from cicd_core.control_plane.job_logs import JobLogService
from cicd_core.job_logs import FileLogStore
from tests.http.serving import ServerThread, serving
from tests.patience import PATIENCE
from tests.required import is_every_engine_required
from tests.web.scene import Scene, set_up

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator
    from pathlib import Path

    from anyio.from_thread import BlockingPortal

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_FLAGS: Final = (
    "--no-sandbox",  # the tests may run as root, and open pages of their own server alone
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the tests of a module: its driver has an event loop in this thread."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        if is_every_engine_required():
            pytest.fail("there is no chromium on PATH, and CICD_REQUIRE_ENGINES is set")
        pytest.skip("there is no chromium on PATH")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=list(_FLAGS))
        yield opened
        opened.close()


@define
class Place:
    """A server over a scene, and a way to the scene's event loop."""

    scene: Scene
    url: str
    portal: BlockingPortal
    logs: JobLogService

    def do(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Await a call of the control plane where it lives."""

        async def act() -> Any:
            return await call(*arguments, **named)

        return self.portal.call(act)


@define
class Restartable:
    """A server that may be stopped, and started again at the same address."""

    scene: Scene
    url: str
    thread: ServerThread

    def restart(self) -> None:
        """Stop it, and start another one."""
        self.thread.stop()
        port = int(self.url.rpartition(":")[2])
        self.thread = ServerThread(self.scene.plane, None, port=port)
        self.thread.start()


@asynccontextmanager
async def _restartable() -> AsyncGenerator[Restartable]:
    async with ControlPlane.open("memory://", maintenance=False) as plane:
        scene, thread = await set_up(plane), ServerThread(plane, None)
        made = Restartable(scene, await to_thread.run_sync(thread.start), thread)
        try:
            yield made
        finally:
            await to_thread.run_sync(made.thread.stop)


@pytest.fixture
def restartable() -> Iterator[tuple[Restartable, BlockingPortal]]:
    """A server to restart, and the way to its scene's event loop."""
    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(_restartable()) as made,
    ):
        yield made, portal


@asynccontextmanager
async def _empty() -> AsyncGenerator[tuple[ControlPlane, str]]:
    async with ControlPlane.open("memory://", maintenance=False) as plane, serving(plane) as url:
        yield plane, url


@define
class EmptyPlace:
    """A server over a store in which nothing is."""

    plane: ControlPlane
    url: str
    portal: BlockingPortal

    def do(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Await a call of the control plane where it lives."""
        return self.portal.call(call, *arguments)


@pytest.fixture
def empty_place() -> Iterator[EmptyPlace]:
    """A server over an empty store."""
    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(_empty()) as (plane, url),
    ):
        yield EmptyPlace(plane, url, portal)


@asynccontextmanager
async def _served(url: str, folder: Path) -> AsyncGenerator[tuple[Scene, str, JobLogService]]:
    logs = FileLogStore(folder)
    async with ControlPlane.open(url, maintenance=False) as plane:
        scene = await set_up(plane)
        async with serving(plane, logs=logs) as address:
            yield scene, address, JobLogService(plane, logs)


def _opened(url: str, folder: Path) -> Iterator[Place]:
    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(_served(url, folder)) as (scene, address, logs),
    ):
        yield Place(scene, address, portal, logs)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A server that tests read."""
    yield from _opened("memory://", tmp_path_factory.mktemp("logs"))


@pytest.fixture
def own_place(tmp_path: Path) -> Iterator[Place]:
    """A server that one test changes."""
    yield from _opened("memory://", tmp_path)


class Visitor:
    """A person with a browser; what its console says is kept."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE * 1000)
        self.complaints: list[str] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", self._refuse)

    def _hear(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _refuse(self, dialog: Any) -> None:
        self.complaints.append(f"a dialog: {dialog.message}")
        dialog.dismiss()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visitor]]:
    """Opens a browser of a person's own; none of them may have had a complaint at the end."""
    visitors: list[Visitor] = []

    def open_one(**options: Any) -> Visitor:
        visitor = Visitor(browser.new_context(reduced_motion="reduce", **options))
        visitors.append(visitor)
        return visitor

    yield open_one
    complaints = [each for visitor in visitors for each in visitor.complaints]
    for visitor in visitors:
        visitor.context.close()
    assert complaints == []
