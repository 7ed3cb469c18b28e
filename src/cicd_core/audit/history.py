"""What the log says of one subject, as far as it was read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

if TYPE_CHECKING:
    from datetime import datetime


@define
class Trail:
    """Where the log has led one subject so far."""

    version: int = 0
    ordinal: int = -1
    state: str | None = None
    #: Whether its first event is in the log.
    born: bool = False
    #: Whether its last event says that its record was removed.
    deleted: bool = False
    #: The moment of its last event.
    at: datetime | None = None
    #: Whether it was compared with its record.
    compared: bool = False
    #: The rest is a job's.
    fence: int = 0
    verdicts: int = 0
    pool_name: str | None = None
    started_at: datetime | None = None
