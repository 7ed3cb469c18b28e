"""Log stores that a test can disturb, and what a log holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from cicd_core.errors import StoreUnavailable, TooLarge
from cicd_core.job_logs import LogId
from cicd_core.job_logs.contract import MAX_CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.job_logs import FileLogStore, LogState


@define
class DisturbedStore:
    """A file store whose appends fail where a function says so, and how."""

    store: FileLogStore
    #: Gets the number of the append; it fails before or after it took effect, or half of it did.
    fails: Callable[[int], str | None] = lambda _: None
    #: How many bytes of one append it takes.
    most: int = MAX_CHUNK
    #: The offset and size of each append.
    appends: list[tuple[int, int]] = field(factory=list[tuple[int, int]])

    async def append(
        self, log: LogId, offset: int, data: bytes, *, complete: bool = False
    ) -> LogState:
        number = len(self.appends)
        self.appends.append((offset, len(data)))
        if len(data) > self.most:
            raise TooLarge("body", len(data), self.most)
        when = self.fails(number)
        if when == "before":
            raise StoreUnavailable("it never came")
        if when == "half":
            await self.store.append(log, offset, data[: len(data) // 2])
            raise StoreUnavailable("it came in part")
        state = await self.store.append(log, offset, data, complete=complete)
        if when == "after":
            raise StoreUnavailable("the answer was lost")
        return state

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)


async def log_of(store: FileLogStore, job_id: str, attempt: int = 1) -> bytes:
    """Return what a store keeps of a log."""
    said, offset = b"", 0
    while (piece := await store.read(LogId(job_id, attempt), offset, MAX_CHUNK)).data:
        said, offset = said + piece.data, piece.next_offset
    return said
