"""``python -m benchmarks.dynamodb_contention``: how claims of fleets go, and how fast jobs live."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final

from attrs import evolve

from benchmarks.dynamodb_contention.contest import Result, Setup, contest
from benchmarks.dynamodb_contention.lives import Lived, Lives, lives
from benchmarks.dynamodb_contention.partitions import Physics

if TYPE_CHECKING:
    from collections.abc import Iterable

_SLOW_INDEX: Final = Physics(lag_seconds=0.5)
#: What is shown where nothing else is asked for.
FLEETS: Final = {
    "1 claimer": Setup(claimers=1),
    "10 claimers, saturated": Setup(claimers=10),
    "100 claimers, saturated": Setup(claimers=100, seconds=1),
    "1,000 claimers, saturated": Setup(seconds=0.5),
    "1,000 claimers, saturated, 16 shards": Setup(shards=16, seconds=0.3, backlog=60_000),
    "1,000 agents that work 1 s": Setup(work_seconds=1.0, settling_seconds=4.0, seconds=1),
    "1,000 agents that work 10 s": Setup(work_seconds=10.0, settling_seconds=40.0, seconds=10),
    "1,000 agents that work 10 s, an index half a second behind": Setup(
        work_seconds=10.0, settling_seconds=40.0, seconds=10, physics=_SLOW_INDEX
    ),
}
_HEAD: Final = (
    "| fleet | conflicts a claim | claims a second | took, median and p99 | "
    "passed over, median and p99 | reads a claim |\n|---|---|---|---|---|---|\n"
)

#: What a table that was just made takes in a second, and one whose quota AWS has raised.
_COLD, _RAISED = 4_000.0, 400_000.0
TABLES: Final = {
    "1 shard": Lives(shards=1, log_shards=1),
    "4 shards": Lives(),
    "4 shards, a cold table": Lives(table_writes=_COLD),
    "4 shards, 1 of the log": Lives(log_shards=1),
    "8 shards": Lives(shards=8, log_shards=8),
    "8 shards, a raised quota": Lives(shards=8, log_shards=8, table_writes=_RAISED),
    "32 shards, a raised quota": Lives(shards=32, log_shards=32, table_writes=_RAISED),
}
_LIVES_HEAD: Final = (
    "| tables | jobs a second | a job's writes took, median and p99 | what is full |\n"
    "|---|---|---|---|\n"
)


def lives_row(name: str, lived: Lived) -> str:
    """Return a line of the table of lives."""
    cells = (
        name,
        f"{lived.jobs_a_second:,.0f}",
        f"{lived.median_seconds * 1000:.0f} ms, {lived.slowest_seconds * 1000:.0f} ms",
        lived.full,
    )
    return f"| {' | '.join(cells)} |\n"


def row(name: str, result: Result) -> str:
    """Return a line of the table."""
    cells = (
        name,
        f"{result.conflicts_a_claim:.2f}",
        f"{result.claims_a_second:,.0f}",
        f"{result.median_seconds * 1000:.0f} ms, {result.slowest_seconds * 1000:.0f} ms",
        f"{result.displacement:,}, {result.worst_displacement:,}",
        f"{result.reads_a_claim:.1f}",
    )
    return f"| {' | '.join(cells)} |\n"


def main() -> None:
    """Run the fleets, or the one that the options describe, and write tables in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dynamodb_contention")
    parser.add_argument(
        "--lives", action="store_true", help="how many jobs a second tables take, instead of claims"
    )
    parser.add_argument("--claimers", type=int, help="one fleet of so many, instead of the table")
    parser.add_argument("--shards", type=int, default=Setup().shards)
    parser.add_argument("--work", type=float, default=0.0, help="seconds of work a job")
    parser.add_argument("--lag", type=float, default=Physics().lag_seconds, help="of the index")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long to look")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    fleets = {name: evolve(setup, seed=options.seed) for name, setup in FLEETS.items()}
    if options.claimers is not None:
        alone = Setup(
            claimers=options.claimers,
            shards=options.shards,
            work_seconds=options.work,
            settling_seconds=max(1.0, 4 * options.work),
            seconds=options.seconds,
            seed=options.seed,
            physics=Physics(lag_seconds=options.lag),
        )
        fleets = {f"{options.claimers:,} claimers": alone}
    if options.lives:
        _write(_LIVES_HEAD, (lives_row(name, lives(setup)) for name, setup in TABLES.items()))
        return
    _write(_HEAD, (row(name, contest(setup)) for name, setup in fleets.items()))


def _write(head: str, rows: Iterable[str]) -> None:
    sys.stdout.write(head)
    for line in rows:
        sys.stdout.write(line)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
