"""The history of a subject, from the part of the log read so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

if TYPE_CHECKING:
    from datetime import datetime


@define
class Trail:
    """The state of a subject according to the log so far."""

    version: int = 0
    ordinal: int = -1
    state: str | None = None
    #: Whether its first event is in the log.
    born: bool = False
    #: Whether its last event is the removal of its record.
    deleted: bool = False
    #: The time of its last event.
    at: datetime | None = None
    #: Whether it has been compared with its record.
    compared: bool = False
    #: The rest is only for jobs.
    fence: int = 0
    verdicts: int = 0
    pool_name: str | None = None
    started_at: datetime | None = None
