"""One of several processes that work on one store; :mod:`.processes` starts them.

It opens the store, says ``ready``, waits for a line, works, and ends. What it asks and what it is
answered is written down at once, so that a worker that is killed leaves that behind.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio

from cicd_core.store.registry import open_store
from cicd_core.testing.histories.config import Workload
from cicd_core.testing.histories.journal import Journal
from cicd_core.testing.histories.recorder import Recorder
from cicd_core.testing.histories.workload import work
from cicd_core.testing.samples import COLLECTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core.testing.histories.operation import StoreOperation

#: What a worker says when the store is open.
READY: Final = "ready"
#: How a worker exits that was told to die.
KILLED: Final = 137


class _DyingJournal(Journal):
    """Ends the process, as SIGKILL would, when so many calls were made: others are under way."""

    calls_left: int | None = None

    def __call__(self, operation: StoreOperation) -> None:
        super().__call__(operation)
        if self.calls_left is not None and not operation.is_known:
            self.calls_left -= 1
            if not self.calls_left:
                os._exit(KILLED)  # nothing is flushed, closed or rolled back


def main(arguments: Sequence[str] | None = None) -> None:
    """Work as the command line says."""
    options = _options(arguments)
    workload = Workload(
        seed=options.seed,
        clients=options.clients,
        calls=options.calls,
        hot_records=options.hot_records,
        claim_limit=options.claim_limit,
        cancelled=options.cancelled,
    )
    anyio.run(_run, options, workload)


async def _run(options: Namespace, workload: Workload) -> None:
    with options.output.open("w", encoding="utf-8") as file:
        journal = _DyingJournal(file)
        journal.calls_left = options.die_after
        recorder = Recorder(journal)
        collections, namespace = COLLECTIONS, options.namespace
        async with open_store(options.store, collections=collections, namespace=namespace) as store:
            sys.stdout.write(f"{READY}\n")
            sys.stdout.flush()
            sys.stdin.readline()  # nothing else runs here yet, so it may block
            await work(store, workload, recorder, options.name)


def _options(arguments: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(prog="python -m cicd_core.testing.histories.worker")
    parser.add_argument("--store", required=True, help="the URL of the store")
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--output", required=True, type=Path, help="where the history goes")
    parser.add_argument("--name", required=True, help="what the names of its clients begin with")
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--clients", required=True, type=int)
    parser.add_argument("--calls", required=True, type=int)
    parser.add_argument("--hot-records", required=True, type=int)
    parser.add_argument("--claim-limit", required=True, type=int)
    parser.add_argument("--cancelled", required=True, type=float)
    parser.add_argument("--die-after", type=int, help="end abruptly after so many writing calls")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
