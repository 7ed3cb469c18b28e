"""The settings of a history's clients."""

from __future__ import annotations

from cicd_core.values import frozen


@frozen(kw_only=True)
class Workload:
    """The settings of the clients; the same seed gives the same choices."""

    seed: int
    #: Concurrent tasks in each process.
    clients: int = 6
    #: The calls of each client.
    calls: int = 25
    #: The number of records that all clients write; 0: there is only the queue.
    hot_records: int = 3
    #: Maximum number of records per claim.
    claim_limit: int = 2
    #: The share of calls that are cancelled under way.
    cancelled: float = 0.03
