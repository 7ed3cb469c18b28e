"""The options of :meth:`ControlPlane.open <cicd_core.control_plane.plane.ControlPlane.open>`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    from enum import Enum

    from cicd_core.clock import Clock


class StoreOptions(TypedDict, total=False):
    """What may be given beside the URL. Each store knows some, and refuses the others.

    Most of them may stand in the URL too (``?log_retention=86400``), as those of other packages'
    stores do. What is given here takes precedence. Durations are seconds.
    """

    #: The set of records to open: a team, a tenant, a test.
    namespace: str | None
    #: A clock for a store that has none of its own, for a simulation or a test.
    clock: Clock | None
    #: Whether a store that makes a file may make it. SQLite.
    create: bool
    #: How long an event stays in the log. All stores.
    log_retention: float | None
    #: What a power cut may take. SQLite.
    synchronous: Literal["full", "normal"] | None
    #: How long a write waits for those of other processes. SQLite.
    busy_timeout: float | None
    #: What is certain when a commit is answered. Redis.
    durability: str | Enum | None
    #: How many replicas must have a commit. Redis.
    replicas: int | None
    #: How long a commit waits for them. Redis.
    replica_timeout: float | None
    #: How long one call may take. Redis.
    call_timeout: float | None
    #: How long a connection may take. Redis.
    connect_timeout: float | None
    #: How far the servers' clocks may be apart. Redis.
    clock_skew: float | None
    #: A client of the caller's own, which stays the caller's to close. Redis, DynamoDB.
    client: object
    #: Counts what the calls cost. DynamoDB.
    meter: object
    #: What the names of the tables begin with. DynamoDB.
    prefix: str | None
    #: Where the tables are. DynamoDB.
    region: str | None
    #: Another address than AWS's. DynamoDB.
    endpoint: str | None
    #: Whether missing tables are made. DynamoDB.
    create_tables: bool | None
    #: Over how many partitions an index is spread. DynamoDB.
    shards: int | None
    #: Over how many partitions the log is spread. DynamoDB.
    log_shards: int | None
    #: Whether the log is kept. DynamoDB.
    log: bool | None
    #: Whether claims leave marks. DynamoDB.
    claim_marks: bool | None
    #: How long one call may take. DynamoDB.
    timeout: float | None
    #: How long a count may be remembered. DynamoDB.
    count_seconds: float | None
    #: How often a waiting claim looks. DynamoDB.
    poll_seconds: float | None
