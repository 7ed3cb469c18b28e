"""Random concurrent work on a store, from a seed, for recorded histories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from anyio import create_task_group

from cicd_core.store.records import Claim, Commit
from cicd_core.store.retrying import RetryingStore
from cicd_core.testing.harness import PATIENT
from cicd_core.testing.histories.workload_client import LANES, WorkloadClient
from cicd_core.testing.recording.recording_store import Recorder, RecordingStore
from cicd_core.testing.recording.store_calls import Get, History
from cicd_core.testing.samples import ITEMS, claim, whole_log
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from cicd_core.store.contract import Store
    from cicd_core.store.records import LogEntry
    from cicd_core.testing.histories.workload_client import Workload
    from cicd_core.testing.recording.recorder import CallRecorder
    from cicd_core.testing.recording.store_calls import StoreArgument, StoreResult

#: The number of records to take or read at a time at the end.
_STEP: Final = 100


@frozen
class Recording:
    """The records of a run."""

    history: History
    #: The whole log at its end.
    log: tuple[LogEntry, ...]
    #: The counters at its end.
    counted: Mapping[str, int]


async def record(
    store: Store, workload: Workload, settle: Callable[[], Awaitable[None]] | None = None
) -> Recording:
    """Let clients work on an empty store, then empty the queue and read everything.

    Args:
        store: an empty store with the collections of :mod:`cicd_core.testing.samples`.
        workload: the settings of the clients.
        settle: returns when claims and the log show every commit; for a store that lags.
    """
    recorder = Recorder()
    await work(store, workload, recorder)
    return await conclude(store, recorder.history(), settle)


async def work(
    store: Store,
    workload: Workload,
    recorder: CallRecorder[StoreArgument, StoreResult],
    name: str = "",
) -> None:
    """Run all clients of a workload concurrently; their names begin with ``name``."""
    async with create_task_group() as tasks:
        for number in range(workload.clients):
            client = f"{name}{number}"
            recording = RecordingStore(store, recorder, client)
            tasks.start_soon(WorkloadClient(recording, client, workload).run)


async def conclude(
    store: Store, history: History, settle: Callable[[], Awaitable[None]] | None = None
) -> Recording:
    """Take the rest of the queue, read every record, and add these calls to a history."""
    if settle is not None:
        await settle()
    recorder = Recorder()
    last = RetryingStore(recorder.wrap(store, "last"), attempts=PATIENT)
    number, limit = 0, 1
    while await last.claim(claim(limit, lanes=LANES, claim_id=f"last-{number}")):
        number, limit = number + 1, _STEP
    keys = sorted(_keys_of(history))
    for start in range(0, len(keys), _STEP):
        await last.get(ITEMS.name, keys[start : start + _STEP])
    log = await whole_log(last)
    counted = (await last.counters("")).values
    return Recording(History.merged([history, recorder.history()]), tuple(log), counted)


def _keys_of(history: History) -> set[str]:
    """Return the key of every item in a history."""
    keys: set[str] = set()
    for operation in history.operations:
        match operation.argument:
            case Commit(writes=writes):
                keys.update(write.key for write in writes if write.collection == ITEMS.name)
            case Get(collection=ITEMS.name, key=key):
                keys.add(key)
            case Claim() if isinstance(operation.result, tuple):
                keys.update(record.key for record in operation.result)
            case _:
                pass
    return keys
