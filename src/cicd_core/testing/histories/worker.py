"""One of several processes that work on one store; :mod:`.processes` starts them.

It opens the store, prints ``ready``, waits for a line, works, and ends. It writes its requests and
answers to a file at once, so that a killed worker leaves them behind.
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
from cicd_core.testing.histories.journal import FORMAT
from cicd_core.testing.histories.recorder import Recorder
from cicd_core.testing.histories.workload import work
from cicd_core.testing.samples import COLLECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cicd_core.testing.histories.operation import StoreOperation

#: The output of a worker when the store is open.
READY: Final = "ready"
#: The exit code of a worker that must die.
KILLED: Final = 137


def _dying(
    journal: Callable[[StoreOperation], None], calls: int | None
) -> Callable[[StoreOperation], None]:
    """Return a journal that ends the process, as SIGKILL does, after a number of calls.

    Other calls are under way then. None: the process does not end.
    """
    left = calls

    def note(operation: StoreOperation) -> None:
        nonlocal left
        journal(operation)
        if left is not None and not operation.is_known:
            left -= 1
            if not left:
                os._exit(KILLED)  # nothing is flushed, closed or rolled back

    return note


def main(arguments: Sequence[str] | None = None) -> None:
    """Work according to the command line."""
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
        recorder = Recorder(_dying(FORMAT.journal(file), options.die_after))
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
    parser.add_argument("--name", required=True, help="prefix of its clients' names")
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
