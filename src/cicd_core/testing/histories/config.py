"""What the clients of a history mean to do."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class Workload:
    """What clients do; the same seed gives the same intentions."""

    seed: int
    #: Tasks at once, in each process.
    clients: int = 6
    #: The calls of each client.
    calls: int = 25
    #: How many records all clients fight for; 0: there is only the queue.
    hot_records: int = 3
    #: The most records that one claim asks for.
    claim_limit: int = 2
    #: The share of calls that are cancelled under way.
    cancelled: float = 0.03
