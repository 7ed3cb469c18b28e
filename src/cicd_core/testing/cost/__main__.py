"""``python -m cicd_core.testing.cost``: the cost of each verb with few records and with many."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import anyio
from attrs import asdict

from cicd_core.errors import CicdError
from cicd_core.redaction import redacted_url
from cicd_core.store.registry import open_store
from cicd_core.testing.cost.measuring import Bounds, Measurement
from cicd_core.testing.cost.verbs import Filled
from cicd_core.testing.failures import table
from cicd_core.testing.harness import checked
from cicd_core.testing.samples import COLLECTIONS, IDS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from cicd_core.store.contract import Store
    from cicd_core.testing.cost.measuring import VerbCost
    from cicd_core.testing.harness import StoreHarness

#: Number of records between two reports while a store is filled.
_STEP: Final = 20_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure a store; 0: no cost grows, 1: a cost grows, 2: it could not be measured."""
    given = _parser().parse_args(arguments)
    bounds = Bounds(calls=given.calls, time=given.bound, count=given.count_bound)
    try:
        costs = anyio.run(_measure, given, bounds)
    except CicdError as refused:
        sys.stderr.write(f"the store could not be measured: {refused}\n")
        return 2
    growing = [cost.call for cost in costs if cost.grows(bounds)]
    text = _as_json(given, bounds, costs) if given.json else _as_text(given, bounds, costs)
    sys.stdout.write(f"{text}\n")
    return 1 if growing else 0


async def _measure(given: argparse.Namespace, bounds: Bounds) -> list[VerbCost]:
    opened, work = _opening(given)
    async with AsyncExitStack() as stack:
        stores: list[Filled] = []
        for size in (given.small, given.large):
            name = f"cost-{IDS.commit_id()}"
            store = checked(await stack.enter_async_context(opened(name)))
            filled = Filled(store, size)
            await filled.fill(_progress(size))
            stores.append(filled)
        small, large = stores
        return await Measurement(small, large, bounds=bounds, work=work).run(_tell)


def _opening(given: argparse.Namespace) -> tuple[Any, Callable[[], int | None]]:
    """Return the opener of the store in a namespace, and the source of its counts."""
    if given.harness is None:

        @asynccontextmanager
        async def opened(namespace: str) -> AsyncGenerator[Store, None]:
            async with open_store(
                given.store, collections=COLLECTIONS, namespace=namespace
            ) as store:
                yield store

        return opened, lambda: None
    module, _, name = given.harness.partition(":")
    harness: StoreHarness = getattr(import_module(module), name)()
    return harness.open, harness.work


def _progress(size: int) -> Callable[[int], None]:
    def report(done: int) -> None:
        if done == size or not done % _STEP:
            _tell(f"{done:,} of {size:,} records")

    return report


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _as_text(given: argparse.Namespace, bounds: Bounds, costs: Sequence[VerbCost]) -> str:
    head = ("call", f"ms at {given.small:,}", f"ms at {given.large:,}", "times", "counted", "")
    rows: list[tuple[str, ...]] = [head]
    for cost in costs:
        counted = ""
        if cost.small_count is not None and cost.large_count is not None:
            counted = f"{cost.small_count:g} -> {cost.large_count:g}"
        verdict = "GROWS" if cost.grows(bounds) else ""
        times = f"{cost.ratio:.1f}"
        rows.append(
            (cost.call, f"{cost.small_ms:.3f}", f"{cost.large_ms:.3f}", times, counted, verdict)
        )
    said = (
        f"Medians of {bounds.calls} calls each. Bounds: {bounds.time:g} times the median, "
        f"{bounds.count:g} times the counts."
    )
    return "\n".join([*table(rows), said])


def _as_json(given: argparse.Namespace, bounds: Bounds, costs: Sequence[VerbCost]) -> str:
    report = {
        "store": given.harness or redacted_url(given.store),
        "small": given.small,
        "large": given.large,
        "bounds": asdict(bounds),
        "calls": [asdict(cost) | {"grows": cost.grows(bounds)} for cost in costs],
    }
    return json.dumps(report, indent=2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cicd_core.testing.cost",
        description="Measure each verb of a store with few records and with many, and fail if the "
        "cost of a verb grows. The records stay in separate namespaces.",
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--store", metavar="URL", help="the store")
    where.add_argument(
        "--harness",
        metavar="MODULE:CLASS",
        help="a harness of the suite, created without arguments; its work() is counted",
    )
    add = parser.add_argument
    add("--small", type=_size, default=1000, metavar="N", help="few records (default: 1,000)")
    add("--large", type=_size, default=200_000, metavar="N", help="many (default: 200,000)")
    add("--calls", type=_size, default=Bounds().calls, metavar="N", help="calls of each (41)")
    add("--bound", type=float, default=Bounds().time, metavar="X", help="times slower (3)")
    add("--count-bound", type=float, default=Bounds().count, metavar="X", help="times more (1.5)")
    add("--json", action="store_true", help="print the report as JSON")
    return parser


def _size(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 10_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} was refused: give 1 to 10,000,000")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
