"""The control plane for synchronous callers: the same services, from any thread."""

from __future__ import annotations

import ast
import gc
import importlib.util
import inspect
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

import cicd_core.sync
from cicd_core import (
    InvalidInput,
    JobSpec,
    JobState,
    NotFound,
    OperationRejected,
    Outcome,
    StoreClosed,
    WaitTimedOut,
)
from cicd_core.sync import ControlPlane
from cicd_core.sync.portal import Facade
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from types import ModuleType

SCRIPT = Path(__file__).parents[2] / "docs" / "sync_facade.py"


def loaded() -> ModuleType:
    """The script, which stands outside of every package."""
    spec = importlib.util.spec_from_file_location("sync_facade", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sync_facade = loaded()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ci.db"


@pytest.fixture
def plane(url: str) -> Iterator[ControlPlane]:
    with ControlPlane.open(url) as opened:
        yield opened


def classes_in(source: str) -> list[str]:
    tree = ast.parse(source)
    return [ast.dump(node) for node in tree.body if isinstance(node, ast.ClassDef)]


@pytest.mark.parametrize("module", sync_facade.SERVICES)
def test_the_modules_are_up_to_date(module: str) -> None:
    written = (sync_facade.FOLDER / f"{module}.py").read_text(encoding="utf-8")
    assert classes_in(written) == classes_in(sync_facade.rendered(module)), (
        "run `python docs/sync_facade.py`"
    )


def signatures(kind: type) -> dict[str, list[inspect.Parameter]]:
    return {
        name: list(inspect.signature(member).parameters.values())
        for name, member in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


@pytest.mark.parametrize(("module", "name"), sync_facade.SERVICES.items())
def test_every_method_of_a_service_has_the_same_parameters(module: str, name: str) -> None:
    theirs = getattr(import_module(sync_facade.home_of(module)), name)
    ours = getattr(import_module(f"cicd_core.sync.services.{module}"), name)
    expected = signatures(theirs)
    for left_out in sync_facade.LEFT_OUT:
        if left_out[0] == module:
            del expected[left_out[1]]
    assert signatures(ours) == expected


def test_every_service_of_a_control_plane_is_there(plane: ControlPlane) -> None:
    services = {name for name in vars(plane._plane) if not name.startswith("_")}  # noqa: SLF001 - the list to compare with
    assert {name for name in vars(plane) if not name.startswith("_")} == services - {"store"}


def test_opening_takes_what_the_other_one_takes() -> None:
    ours = inspect.signature(ControlPlane.open)
    theirs = inspect.signature(cicd_core.ControlPlane.open)
    assert list(ours.parameters.values()) == list(theirs.parameters.values())


def test_a_job_goes_through_its_life(plane: ControlPlane) -> None:
    job = plane.queue.enqueue(JobSpec(job_type="build"))
    (claimed,) = plane.queue.claim(agent_id="a", start=True)
    plane.queue.complete(claimed, Outcome.exited(0))
    assert plane.jobs.wait(job.job_id, timeout=PATIENCE).state is JobState.SUCCESS
    assert plane.now() >= job.created_at


def test_errors_are_those_of_the_service(plane: ControlPlane) -> None:
    with pytest.raises(NotFound):
        plane.jobs.get("j-unknown")
    with pytest.raises(InvalidInput):
        plane.jobs.list(limit=0)
    job = plane.queue.enqueue(JobSpec(job_type="build"))
    with pytest.raises(WaitTimedOut):
        plane.jobs.wait(job.job_id, timeout=0)


def test_what_is_walked_over_can_be_left_early(plane: ControlPlane) -> None:
    made = [plane.queue.enqueue(JobSpec(job_type="build")).job_id for _ in range(3)]
    assert [job.job_id for job in plane.jobs.iterate()] == made[::-1]
    with closing(plane.events.follow(types=["job.enqueued"])) as events:
        first: Any = next(events)
    assert first.subject == ("jobs", made[0])
    plane.jobs.cancel(made[1])
    assert len(list(plane.events.follow(subject=("jobs", made[1])))) == 3


def test_many_threads_call_at_once(plane: ControlPlane) -> None:
    def work(number: int) -> list[str]:
        spec = JobSpec(job_type=f"build-{number}")
        return [plane.queue.enqueue(spec).job_id for _ in range(10)]

    with ThreadPoolExecutor(8) as threads:
        made = [job_id for part in threads.map(work, range(8)) for job_id in part]
    assert sorted(job.job_id for job in plane.jobs.iterate()) == sorted(made)


def test_a_wait_in_one_thread_ends_by_the_work_of_another(plane: ControlPlane) -> None:
    job = plane.queue.enqueue(JobSpec(job_type="build"))
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(plane.jobs.wait, job.job_id)
        (claimed,) = plane.queue.claim(agent_id="a", start=True)
        plane.queue.complete(claimed, Outcome.exited(3))
        assert waiting.result(PATIENCE).exit_code == 3


def test_several_control_planes_share_a_store(url: str) -> None:
    with ExitStack() as stack:
        planes = [stack.enter_context(ControlPlane.open(url)) for _ in range(3)]
        job = planes[0].queue.enqueue(JobSpec(job_type="build"))
        (claimed,) = planes[1].queue.claim(agent_id="a", start=True)
        planes[2].queue.complete(claimed, Outcome.exited(0))
        assert {each.jobs.get(job.job_id).state for each in planes} == {JobState.SUCCESS}


def test_one_is_opened_within_an_event_loop_of_the_caller(url: str) -> None:
    async def main() -> str:
        with ControlPlane.open(url) as plane:
            return plane.queue.enqueue(JobSpec(job_type="build")).status.value

    assert anyio.run(main) == "queued"


def test_it_closes_and_leaves_no_thread(url: str) -> None:
    before = set(threading.enumerate())
    with ControlPlane.open(url) as plane:
        started = set(threading.enumerate()) - before
        assert started
    for thread in started:  # the driver's answers its last call a moment before it ends
        thread.join(PATIENCE)
    assert set(threading.enumerate()) <= before  # one of an earlier test may have ended since
    with pytest.raises(StoreClosed, match="closed"):
        plane.jobs.list()


def test_what_waits_in_other_threads_ends_when_it_closes(url: str) -> None:
    with ThreadPoolExecutor(1) as threads:
        with ControlPlane.open(url) as plane:
            job = plane.queue.enqueue(JobSpec(job_type="build"))
            events = plane.events.follow(subject=("jobs", job.job_id))
            next(events)
            waiting = threads.submit(lambda: list(events))
        with pytest.raises(StoreClosed):
            waiting.result(PATIENCE)


def test_what_the_block_raises_comes_out_as_it_is(url: str) -> None:
    def fail() -> None:
        with ControlPlane.open(url):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_is_told_to_open_its_own(plane: ControlPlane) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads: that is it
        child = os.fork()
    if child == 0:  # pragma: no cover - another process
        try:
            plane.jobs.list()
        except StoreClosed as refused:
            os._exit(0 if "in the child" in str(refused) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_leaves_the_block_of_its_parent(url: str) -> None:
    def forked() -> int:
        with ControlPlane.open(url) as plane:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # as above
                child = os.fork()
            if child == 0:  # pragma: no cover - another process
                signal.alarm(int(PATIENCE))
                return 0
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
            plane.queue.enqueue(JobSpec(job_type="build"))  # the parent's own goes on
            return child

    if forked() == 0:  # pragma: no cover - another process
        gc.collect()
        os._exit(7)


def test_an_iteration_that_the_event_loop_s_thread_collects_is_closed(plane: ControlPlane) -> None:
    closed = threading.Event()

    async def numbers() -> AsyncGenerator[int, None]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    async def collect() -> None:
        gc.collect()

    facade = Facade(None, plane._calls)  # noqa: SLF001 - what every service walks with
    gc.disable()
    try:
        walk = facade._walk(numbers)  # noqa: SLF001 - as above
        assert next(walk) == 1
        ring: list[Any] = [walk]
        ring.append(ring)
        del walk, ring
        plane._calls.wait_for(collect)  # noqa: SLF001 - it runs in the event loop's thread
    finally:
        gc.enable()
    assert closed.wait(PATIENCE)


def test_a_call_in_the_event_loop_s_own_thread_is_refused(plane: ControlPlane) -> None:
    async def call() -> None:
        plane.jobs.list()

    with pytest.raises(OperationRejected, match="another thread"):
        plane._calls.wait_for(call)  # noqa: SLF001 - it runs in the event loop's thread


def interrupt_main() -> None:
    """Send a signal to the thread that runs the tests, which wakes it from what it waits for."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)


def test_a_handler_of_a_signal_may_call_in_the_middle_of_a_call(plane: ControlPlane) -> None:
    calls, may_go_on = plane._calls, threading.Event()  # noqa: SLF001 - to see when a call begins
    told: list[object] = []

    async def hold_up() -> None:
        may_go_on.wait(PATIENCE)

    def handle(*_: object) -> None:
        may_go_on.set()
        told.append(plane.now())

    def interrupt() -> None:
        while calls._lock.acquire(blocking=False):  # noqa: SLF001 - as above
            calls._lock.release()  # noqa: SLF001 - as above
            time.sleep(0.001)
        interrupt_main()

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        with ThreadPoolExecutor(2) as threads:
            held = threads.submit(calls.wait_for, hold_up)
            interrupting = threads.submit(interrupt)
            told.append(plane.now())
            held.result(PATIENCE)
            interrupting.result(PATIENCE)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(told) == 2


def test_a_ctrl_c_in_an_iteration_comes_out_as_it_is(plane: ControlPlane) -> None:
    async def slow_to_end() -> AsyncGenerator[int, None]:
        yield 1
        interrupt_main()
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.05)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        walk = Facade(None, plane._calls)._walk(slow_to_end)  # noqa: SLF001 - what services walk with
        assert next(walk) == 1
        with pytest.raises(KeyboardInterrupt):
            next(walk)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert plane.jobs.list().items == ()


def test_a_program_that_leaves_it_open_ends(url: str) -> None:
    program = f"""
from cicd_core import JobSpec
from cicd_core.sync import ControlPlane

opening = ControlPlane.open({url!r})
plane = opening.__enter__()
plane.queue.enqueue(JobSpec(job_type="build"))
events = plane.events.follow()
next(events)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], timeout=PATIENCE, capture_output=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    with ControlPlane.open(url) as plane:
        assert len(plane.jobs.list().items) == 1
