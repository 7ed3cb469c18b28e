"""What the measurements of `sqlite_claims` come to, as a table and as ratios."""

from __future__ import annotations

from typing import Any


def ratios(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Each contestant against the raw driver, and a deep queue against a shallow one."""
    known = {(row["contestant"], row["callers"], row["depth"]): row for row in rows}
    found: dict[str, float] = {}
    shallowest = min((row["depth"] for row in rows), default=0)
    for (name, callers, depth), row in known.items():
        for other in ("raw", "raw-group"):
            limit = known.get((other, callers, depth))
            if limit is not None and name not in {"raw", other}:
                label = f"{name} / {other}, pairs/s, {callers} callers, {depth} queued"
                found[label] = round(row["pairs_per_second"] / limit["pairs_per_second"], 2)
        shallow = known.get((name, callers, shallowest))
        if shallow is not None and depth != shallowest:
            label = f"{name}, claim p50, {callers} callers, {depth} / {shallowest} queued"
            found[label] = round(row["claim_p50_us"] / shallow["claim_p50_us"], 2)
    return found


def show(rows: list[dict[str, Any]]) -> None:
    print(f"{'contestant':12} {'callers':>8} {'queued':>10} {'pairs/s':>9} {'claim p50 µs':>13}")
    for row in rows:
        print(
            f"{row['contestant']:12} {row['callers']:8} {row['depth']:10} "
            f"{row['pairs_per_second']:9} {row['claim_p50_us']:13}"
        )
    print()
    for label, ratio in ratios(rows).items():
        print(f"{ratio:6.2f}  {label}")
