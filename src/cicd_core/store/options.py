"""The options of :meth:`ControlPlane.open <cicd_core.control_plane.plane.ControlPlane.open>`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    from enum import Enum

    from cicd_core.clock import Clock


class StoreOptions(TypedDict, total=False):
    """The options besides the URL. Each store knows some of them, and refuses the others.

    Most of them may also be in the URL (``?log_retention=86400``), like the options of stores from
    other packages. The options given here take precedence. Durations are seconds.
    """

    #: The set of records to open: a team, a tenant, a test.
    namespace: str | None
    #: A clock for a store without its own, for a simulation or a test.
    clock: Clock | None
    #: Whether the store may create its file. SQLite.
    create: bool
    #: How long an event stays in the log. All stores.
    log_retention: float | None
    #: Whether a power cut may lose the last commits. SQLite.
    synchronous: Literal["full", "normal"] | None
    #: How long a write waits for writes of other processes. SQLite.
    busy_timeout: float | None
    #: The durability of an acknowledged commit. Redis.
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
    #: Your own client, which you close yourself. Redis, DynamoDB.
    client: object
    #: Called with the consumption of each call. DynamoDB.
    meter: object
    #: The prefix of the names of the tables. DynamoDB.
    prefix: str | None
    #: The AWS region of the tables. DynamoDB.
    region: str | None
    #: The URL of another endpoint than AWS's. DynamoDB.
    endpoint: str | None
    #: Whether to create missing tables. DynamoDB.
    create_tables: bool | None
    #: The number of shards of an index's busy partition. DynamoDB.
    shards: int | None
    #: The number of shards of the log. DynamoDB.
    log_shards: int | None
    #: Whether to keep events and counters. DynamoDB.
    log: bool | None
    #: Whether every process recognises a repeated claim. DynamoDB.
    claim_marks: bool | None
    #: How long one attempt of a request may take. DynamoDB.
    timeout: float | None
    #: How old a count may be. DynamoDB.
    count_seconds: float | None
    #: The longest time between two polls of a wait. DynamoDB.
    poll_seconds: float | None
