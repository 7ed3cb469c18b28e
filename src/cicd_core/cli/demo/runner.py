"""The run of a demo: its folder, store, context and view."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, cast

import anyio

from cicd_core.audit import AuditReport
from cicd_core.cli.demo.agents import AgentTerms
from cicd_core.cli.demo.context import FAST, Pace, SceneFailed, Stage
from cicd_core.cli.demo.live import can_show, show_live
from cicd_core.cli.demo.place import Place, opened_place
from cicd_core.cli.demo.repository import Repository, mirror, read_repository
from cicd_core.cli.demo.scenario import Plot, play
from cicd_core.cli.demo.state import Board
from cicd_core.cli.demo.summary import document, ending_parts, is_good
from cicd_core.cli.demo.work import ExecutorContext
from cicd_core.cli.opening import plane_now
from cicd_core.cli.output import emit
from cicd_core.cli.screen import Screen, line
from cicd_core.clock import monotonic_seconds
from cicd_core.control_plane.plane import ControlPlane
from cicd_core.errors import CicdError, InvalidInput, UnsupportedCapability
from cicd_core.ids import IdSource
from cicd_core.printable import printable
from cicd_core.redaction import redacted_url
from cicd_core.settings import Settings
from cicd_core.store.registry import StoreURL
from cicd_core.values import evolve, frozen

#: Whether the system has process groups and SIGKILL, which the demo needs.
POSIX: Final = os.name == "posix"
#: Jobs that an agent runs at once.
_SLOTS: Final = 2
#: Maximum time without an event while a test command runs, in seconds.
_TEST_PATIENCE: Final = 400.0


@frozen(kw_only=True)
class Request:
    """The options of the command line."""

    repo: Path | None
    commits: int
    test_command: str | None
    keep: Path | None
    store_url: str | None
    seed: int
    fast: bool
    color: bool
    as_json: bool


class _Terminated(Exception):
    """A signal asked the demo to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


def perform(request: Request) -> bool:
    """Run the demo; return whether all of it succeeded.

    Raises:
        InvalidInput: the repository, the folder or the store cannot be used.
        StoreError: the store fails.
        UnsupportedCapability: the demo cannot run on this system.
        KeyboardInterrupt: by Ctrl-C; all files are removed.
        BrokenPipeError: the output pipe was closed.
        SystemExit: another signal stopped the demo; all files are removed.
    """
    if not POSIX:
        raise UnsupportedCapability(
            "the demo runs shell jobs and kills processes: it needs Linux, macOS or another POSIX"
        )
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:  # names may have characters that the terminal lacks
        reconfigure(errors="replace")
    try:
        return anyio.run(_perform, request)
    except BaseException as raised:
        # Several tasks may have failed for the same reason; only one error is reported.
        for kind in (KeyboardInterrupt, _Terminated, BrokenPipeError, CicdError):
            error = _first(raised, kind)
            if isinstance(error, _Terminated):
                raise SystemExit(error.exit_code) from None
            if error is not None:
                raise error from None
        raise


def _first(raised: BaseException, kind: type[BaseException]) -> BaseException | None:
    """Return an error of that kind: the raised one, or one of its group."""
    if isinstance(raised, kind):
        return raised
    if not isinstance(raised, BaseExceptionGroup):
        return None
    members: tuple[BaseException, ...] = cast(
        "BaseExceptionGroup[BaseException]", raised
    ).exceptions
    found = (_first(each, kind) for each in members)
    return next((error for error in found if error is not None), None)


async def _perform(request: Request) -> bool:
    repository = read_repository(request.repo, request.commits)
    _check_store(request.store_url)
    with opened_place(request.keep) as place:
        mirror(repository, place.mirror)
        good = False
        try:
            with _logged_to(place.demo_log):
                good = await _perform_at(request, repository, place)
        except* SceneFailed as failed:
            sys.stderr.write(f"error: {printable(str(_first(failed, SceneFailed)))}\n")
        if not good:
            place.kept = True
            sys.stderr.write(f"logs of the agents and jobs: {place.root / 'logs'}\n")
    return good


async def _perform_at(request: Request, repository: Repository, place: Place) -> bool:
    began = monotonic_seconds()
    pace = FAST if request.fast else Pace()
    if request.test_command is not None:
        pace = evolve(pace, patience=_TEST_PATIENCE)
    url = request.store_url or place.url
    suffix = f"-{IdSource().commit_id()[:6]}" if request.store_url else ""
    settings = Settings(lease_seconds=pace.lease, sweep_seconds=0.2)
    async with ControlPlane.open(url, settings=settings) as plane:
        screen = Screen(await plane_now(plane))
        screen.console.no_color = screen.console.no_color or not request.color
        live = can_show(screen.console) and not request.as_json
        board = Board(
            _title(repository),
            f"demo{suffix}",
            lambda: monotonic_seconds() - began,
            _silence if live or request.as_json else _write_line,
        )
        stage = Stage(
            plane=plane,
            place=place,
            repository=repository,
            workshop=ExecutorContext(repository, place, f"demo{suffix}", request.seed),
            board=board,
            pace=pace,
        )
        terms = AgentTerms(
            store_url=url,
            pool_name=f"demo{suffix}",
            slots=_SLOTS,
            lease_seconds=pace.lease,
            grace_seconds=pace.grace,
        )
        agent_ids = (f"agent-a{suffix}", f"agent-b{suffix}")
        plot = Plot(agent_ids=agent_ids, terms=terms, test_command=request.test_command)
        async with _until_terminated(), _shown(board, screen, live=live):
            report = await play(stage, plot)
        await _tell(request, stage, report, screen, redacted_url(url))
        return is_good(stage, report)


@contextmanager
def _logged_to(path: Path) -> Generator[None, None, None]:
    """Write the library's log to a file: a lost lease is a planned part of the demo."""
    ours = logging.getLogger("cicd_core")
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    propagated, ours.propagate = ours.propagate, False
    ours.addHandler(handler)
    try:
        yield
    finally:
        ours.removeHandler(handler)
        ours.propagate = propagated
        handler.close()


async def _tell(
    request: Request, stage: Stage, report: AuditReport, screen: Screen, url: str
) -> None:
    seconds = stage.board.clock()
    if request.as_json:
        jobs = [await stage.plane.jobs.get(job_id) for job_id in stage.jobs]
        emit(document(stage, report, jobs, url=url, seconds=seconds))
        return
    plain = screen.console.options.ascii_only
    screen.show(*ending_parts(stage, report, seconds=seconds, plain=plain))
    if stage.place.kept:
        screen.show(line(f"kept: {stage.place.root}"), line(f"store: {url}"))


@asynccontextmanager
async def _shown(board: Board, screen: Screen, *, live: bool) -> AsyncGenerator[None, None]:
    """Show the board on the terminal while the block runs."""
    async with anyio.create_task_group() as tasks:
        if live:
            tasks.start_soon(show_live, board, screen.console)
        yield
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def _until_terminated() -> AsyncGenerator[None, None]:
    """Cancel the block when a signal ends the process; Ctrl-C does so by itself."""

    async def listen() -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGHUP) as signals:
            async for number in signals:
                raise _Terminated(number)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        yield
        tasks.cancel_scope.cancel()


def _check_store(url: str | None) -> None:
    if url is not None and StoreURL.parse(url).scheme == "memory":
        raise InvalidInput(
            "store", url, "the agents are other processes: give a store that they can share"
        )


def _title(repository: Repository) -> str:
    newest = repository.commits[0]
    return f"{repository.name}  {repository.branch or 'detached'} {newest.short} {newest.subject}"


def _write_line(seconds: float, subject: str, text: str) -> None:
    sys.stdout.write(f"{seconds:6.1f}  {line(subject).plain:<18}{line(text).plain}\n")
    sys.stdout.flush()


def _silence(_seconds: float, _subject: str, _text: str) -> None:
    pass
