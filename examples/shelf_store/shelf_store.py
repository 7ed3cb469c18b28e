"""A store in one file: a journal that only grows, and its image in memory.

A call that changes something appends one line to the journal and syncs it. Every call first takes
a lock on the file and reads the lines that others have appended: so all handles on it, in any
number of processes on one host, see the same records. A process that dies leaves at most a part of
a line, which the next one cuts off.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import zlib
from collections import defaultdict
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

from anyio import CancelScope, CapacityLimiter, move_on_after, sleep, to_thread
from anyio.lowlevel import checkpoint
from attrs import asdict, frozen

from cicd_core import errors
from cicd_core import store as words
from cicd_core.clock import boot_micros, plausible, wall_micros
from cicd_core.store import Lifetime, Subject, calendar_of, semantics, subject_of
from cicd_core.store.memory.log import Log
from cicd_core.store.memory.rows import Row, Rows, key_of_partition

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from cicd_core.store import Clock, Store, StoreURL

#: Differs after each start of the machine (Linux).
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
#: How often one who waits looks at the size of the file, in seconds.
PAUSE: Final = 0.02
#: What the system raises, in the words of the contract; all else is `StoreUnavailable`.
MEANINGS: Final[dict[int, type[errors.StoreError]]] = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), errors.StoreFull),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), errors.StoreReadOnly),
}

Answer = TypeVar("Answer")
Collections = tuple[words.Collection, ...]


class Image:
    """What the lines of a journal amount to; its parts are those of the memory store."""

    def __init__(self, collections: Sequence[words.Collection]) -> None:
        self.rows = Rows(collections, entered=lambda _place, _sort: None)
        self.log = Log(retention=30 * 86400 * 1_000_000)  # 30 days
        #: The start of the machine that the clock's offset holds for; the time of the last line.
        self.clock, self.latest = ("", 0), 0
        self._names = {each.name for each in collections}

    def apply(self, line: dict[str, Any]) -> None:
        """Take over what a call has changed."""
        self.latest = line["now"]
        self.clock = line.get("clock", self.clock)
        for (collection, key), row in line.get("rows", ()):
            self.set((collection, key), row and Row(_record(row[0]), row[1]))
        for event in line.get("events", ()):
            event["body"] = event["body"].encode("latin-1")
            self.log.append(words.EventWrite(**event), event["version"], self.latest)
        for increment in line.get("increments", ()):
            self.log.increment(words.Increment(**increment))

    def set(self, subject: Subject, row: Row | None) -> None:
        """Put a row in the place of another, or of none; indexes, counts and claims follow."""
        name, _ = subject
        if row is not None and name in self._names:  # a handle may know of fewer collections
            self.rows.put(name, row)
        elif self.rows.live(subject, 0) is not None:
            self.rows.drop(subject)

    def sweep(self, now: int) -> None:
        """Drop some of the expired records; every verb skips the others."""
        self.rows.sweep(now)
        self.log.sweep(now)


@frozen
class HostClock:
    """The time since the machine started, plus an offset; the calendar is the wall clock's."""

    offset: int

    def micros(self) -> int:
        return self.offset + boot_micros()

    def calendar(self) -> int:
        return plausible(wall_micros(), self.micros())


class Journal:
    """The file: lines of JSON, each behind its checksum. One thread at a time uses it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("a+b", buffering=0)
        #: How far it was read: all before this is whole, and on the disk.
        self.position = 0
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)  # or a power cut may take the name of a new file away
        os.close(folder)

    def close(self) -> None:
        self._file.close()

    def fileno(self) -> int:
        """Return the file's number, unless it was closed: then it may be another file's."""
        if self._file.closed:
            raise errors.StoreUnavailable(f"{self._path} was closed: open it again")
        return self._file.fileno()

    def size(self) -> int:
        return os.fstat(self.fileno()).st_size

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep all other handles out. The kernel drops the lock of a process that dies."""
        fcntl.flock(self, fcntl.LOCK_EX)  # for as long as it takes: a better store would give up
        try:
            yield
        finally:
            fcntl.flock(self, fcntl.LOCK_UN)

    def news(self) -> list[dict[str, Any]]:
        """Return what others have appended, and cut off the part of a line that a crash left."""
        data = os.pread(self.fileno(), self.size() - self.position, self.position)
        *lines, part = data.split(b"\n")
        if data and not self.position and not _is_whole(lines[0] if lines else part):
            raise errors.UnrecognizedDatabase(f"{self._path} does not begin as a journal does")
        if lines and not part and not _is_whole(lines[-1]):
            lines.pop()
        if not all(map(_is_whole, lines)):
            raise errors.CorruptRecord("journal", str(self._path), "a checksum is wrong")
        whole = sum(len(line) + 1 for line in lines)
        if whole < len(data):
            self._file.truncate(self.position + whole)
        if lines:  # their writer may have died before the sync, without an answer to its caller
            os.fsync(self)
        self.position += whole
        return [json.loads(line[9:]) for line in lines]

    def append(self, line: dict[str, Any]) -> None:
        """Write a line: when this returns it is on the disk, when it raises it is undone."""
        text = json.dumps(line, default=_plain).encode()
        rest = data = b"%08x %b\n" % (zlib.crc32(text), text)
        try:
            while rest:  # the system may take a part of it, on a disk that is nearly full say
                rest = rest[self._file.write(rest) :]
            os.fsync(self)
        except OSError:
            with suppress(OSError):
                self._file.truncate(self.position)
            raise
        self.position += len(data)


class ShelfBackend:
    """One handle on a journal; what its verbs promise stands in the contract.

    Each verb runs whole in a worker thread: a file would block the event loop, and a
    caller that cancels the call finds it done, or not begun, and nothing in between (I7).
    """

    def __init__(self, path: Path, collections: Collections, clock: Clock | None) -> None:
        self._path, self.collections, self._given_clock = path, collections, clock
        self.lifetime = Lifetime("this store")
        self._follows = {item.name: item.lease_sort for item in collections}
        # One thread, and our own: nothing here needs a lock against threads, and a program whose
        # own work takes all of its threads still renews its leases.
        self._thread = CapacityLimiter(1)
        self._journal, self._image = Journal(path), Image(collections)
        #: What the call under way has changed in the image, to be written at its end.
        self._line: defaultdict[str, list[Any]] = defaultdict(list)
        try:
            with self._journal.locked():
                self._catch_up()
                self._clock = clock or self._host_clock()
        except BaseException:
            self._journal.close()
            raise

    async def now(self) -> words.StoreTime:
        await checkpoint()
        return words.StoreTime(self._clock.micros(), calendar=calendar_of(self._clock))

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, words.Record]:
        return await self._call(lambda now: self._get(collection, keys, now))

    async def commit(
        self, commits: Sequence[words.Commit]
    ) -> list[words.Committed | words.Conflict]:
        return await self._call(lambda now: [self._commit(each, now) for each in commits])

    async def claim(self, claim: words.Claim) -> list[words.Record]:
        return await self._call(lambda now: self._claim(claim, now))

    async def renew(self, renewals: Sequence[words.Renewal]) -> list[words.Renewed | None]:
        return await self._call(lambda now: [self._renew(each, now) for each in renewals])

    async def page(self, query: words.Query) -> words.RecordPage:
        return await self._call(lambda now: self._page(query, now))

    async def count(self, partitions: Sequence[words.Partition]) -> list[words.Count]:
        keys = [key_of_partition(each) for each in partitions]
        numbers = await self._call(lambda now: [self._image.rows.count(p, now) for p in keys])
        return [words.Count(number, exact=True) for number in numbers]

    async def counters(self, prefix: str) -> words.Counters:
        return await self._call(lambda _: self._image.log.counters(prefix))

    async def read_log(self, cursor: str | None, limit: int) -> words.LogPage:
        return await self._call(lambda _: self._image.log.read(cursor, limit))

    async def wait(self, watches: Sequence[words.Watch], timeout: float) -> bool:  # noqa: ASYNC109 -
        # as in the contract
        found, size = await self._call(lambda now: self._look(watches, now))  # whatever the timeout
        with move_on_after(timeout):
            while not found:
                await sleep(PAUSE)
                if self._journal.size() != size:
                    found, size = await self._call(lambda now: self._look(watches, now))
        return found

    def sibling(self) -> AbstractAsyncContextManager[Store]:
        return _opened(self._path, self.collections, self._given_clock)

    async def close(self) -> None:
        if not self.lifetime.end():  # a forked child leaves the parent's thread alone
            return
        with CancelScope(shield=True):  # behind the call that is under way
            await to_thread.run_sync(self._journal.close, limiter=self._thread)

    async def _call(self, work: Callable[[int], Answer]) -> Answer:
        with _in_our_words(self._path):
            return await to_thread.run_sync(self._whole, work, limiter=self._thread)

    def _whole(self, work: Callable[[int], Answer]) -> Answer:
        """Catch up with the others, do ``work``, and write what it changed."""
        with self._journal.locked():
            self._catch_up()
            now = self._clock.micros()
            self._image.sweep(now)
            self._line.clear()
            try:
                answer = work(now)
                if self._line:
                    self._journal.append({"now": now, **self._line})
            except BaseException:
                if self._line:  # the image is ahead of the file: read all of it again
                    self._image, self._journal.position = Image(self.collections), 0
                raise
            return answer

    def _catch_up(self) -> None:
        for line in self._journal.news():
            self._image.apply(line)

    def _host_clock(self) -> Clock:
        # The time since the machine started, plus an offset that the journal keeps: one time for
        # all processes. The wall clock begins it; after that no wall clock moves it (I4): a machine
        # that starts again goes on from the latest instant that the journal knows.
        boot_id, (known, offset) = BOOT_ID.read_text(), self._image.clock
        if known != boot_id:
            offset = (self._image.latest or plausible(wall_micros())) - boot_micros()
            self._journal.append({"now": offset + boot_micros(), "clock": [boot_id, offset]})
        return HostClock(offset)

    def _get(self, collection: str, keys: Sequence[str], now: int) -> dict[str, words.Record]:
        rows = [self._image.rows.live((collection, key), now) for key in keys]
        return {row.record.key: row.record for row in rows if row}

    def _set(self, subject: Subject, row: Row | None) -> None:
        self._image.set(subject, row)
        self._line["rows"].append((subject, row))

    def _commit(self, commit: words.Commit, now: int) -> words.Committed | words.Conflict:
        rows = {(at := subject_of(one)): self._image.rows.live(at, now) for one in commit.writes}
        records = {at: row and row.record for at, row in rows.items()}
        given = {at: row.given for at, row in rows.items() if row}
        if (before := semantics.applied_before(commit, records, given)) is not None:
            return words.Committed(before)
        if wrong := semantics.conflicts(commit, records, now):
            return words.Conflict(wrong)
        versions: dict[Subject, int] = {}
        for write in commit.writes:
            at, old = subject_of(write), records[subject_of(write)]
            if isinstance(write, words.Put):
                versions[at] = old.version + 1 if old else self._image.rows.first_version(now)
                record = semantics.replaced(write, old, commit.commit_id, versions[at])
                self._set(at, Row(record, versions[at]))
            else:
                self._set(at, None)
        for event in commit.events:
            version = event.version or versions[event.collection, event.key]
            entry = words.LogEntry(**asdict(event) | {"version": version})
            self._image.log.append(event, version, now)
            self._line["events"].append(entry)
        for increment in commit.increments:
            self._image.log.increment(increment)
            self._line["increments"].append(increment)
        return words.Committed(versions)

    def _claim(self, claim: words.Claim, now: int) -> list[words.Record]:
        rows, (name, index) = self._image.rows, (claim.collection, claim.index)
        held = [row.record for row in rows.held(name, claim.claim_id, now)]
        if held:  # a repetition: it is answered what it was given, and takes nothing more
            return sorted(held, key=lambda each: (each.attributes.get(index.sort, ""), each.key))
        follows = self._follows[name]
        keys = [(name, index.partition, index.sort, value) for value in claim.partitions]
        heads = list(islice(rows.smallest(keys, now), claim.limit))
        taken = [semantics.granted(claim, row.record, follows, now) for row in heads]
        for record, row in zip(taken, heads, strict=True):
            self._set((name, record.key), Row(record, row.given))
        return taken

    def _renew(self, renewal: words.Renewal, now: int) -> words.Renewed | None:
        row = self._image.rows.live((renewal.collection, renewal.key), now)
        follows = self._follows[renewal.collection]
        record = semantics.renewed(renewal, row and row.record, follows, now)
        if row is None or record is None or record.lease is None:
            return None
        self._set((renewal.collection, renewal.key), Row(record, row.given))
        lease = record.lease
        return semantics.answer_of(record.version, lease)

    def _page(self, query: words.Query, now: int) -> words.RecordPage:
        rows = list(islice(self._image.rows.between(query, now), query.limit + 1))
        records = tuple(row.record for row in rows[: query.limit])
        return words.RecordPage(records, more=len(rows) > query.limit)

    def _look(self, watches: Sequence[words.Watch], now: int) -> tuple[bool, int]:
        asked = [words.Query(partition=it.partition, limit=1, after=it.after) for it in watches]
        found = (next(self._image.rows.between(query, now), None) for query in asked)
        return any(found), self._journal.position


@asynccontextmanager
async def open_shelf(
    url: StoreURL,
    *,
    collections: tuple[words.Collection, ...],
    namespace: str | None = None,
    clock: Clock | None = None,
) -> AsyncGenerator[Store, None]:
    """Open a shelf: ``shelf:///folder``, or ``shelf:////var/lib/folder`` by its whole path."""
    url.check_options(())
    async with _opened(_path(url, namespace), collections, clock) as store:
        yield store


@asynccontextmanager
async def _opened(
    path: Path, collections: Collections, clock: Clock | None
) -> AsyncGenerator[Store, None]:
    with _in_our_words(path):
        store = await to_thread.run_sync(ShelfBackend, path, collections, clock)
    try:
        yield store
    finally:
        await store.close()


def _path(url: StoreURL, namespace: str | None) -> Path:
    folder = url.path.removeprefix("/")
    if url.netloc or not folder or "\0" in folder:
        raise errors.InvalidInput("url", str(url), "name a folder: shelf:///folder")
    # A file a namespace, whose name may hold slashes.
    name = "records" if namespace is None else f"records-{quote(namespace, safe='')}"
    return Path(folder).resolve() / f"{name}.shelf"


@contextmanager
def _in_our_words(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as cause:
        kind = MEANINGS.get(cause.errno or 0, errors.StoreUnavailable)
        raise kind(f"{path}: {cause}") from cause


def _is_whole(line: bytes) -> bool:
    return line[:9] == b"%08x " % zlib.crc32(line[9:])


def _plain(value: Any) -> Any:
    # A body may hold any bytes: each becomes the character of its number.
    return value.decode("latin-1") if isinstance(value, bytes) else asdict(value, recurse=False)


def _record(has: dict[str, Any]) -> words.Record:
    grant, lease = has["grant"], has["lease"]
    has["body"] = has["body"].encode("latin-1")
    has["grant"] = None if grant is None else grant.encode("latin-1")
    has["lease"] = None if lease is None else words.Lease(**lease)
    return words.Record(**has)
