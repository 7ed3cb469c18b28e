"""The store contract: what a backend must do, and all that it must do.

A store keeps records in named collections, in a namespace, and knows nothing of what they mean:
every rule about jobs, deployments and agents is in :mod:`cicd_core.lifecycle`. To write a store,
implement :class:`Store`; nothing here reads a clock, retries, or decodes a body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from cicd_core.store.records import (
        Claim,
        Commit,
        Committed,
        Conflict,
        Count,
        Counters,
        LogPage,
        Partition,
        Query,
        Record,
        RecordPage,
        Renewal,
        Renewed,
        StoreTime,
        Watch,
    )


@runtime_checkable
class Store(Protocol):
    """Records, their indexes, a log and counters, in one namespace.

    What holds for every verb:

    - Concurrency: any number of calls at once, from one event loop; any number of stores on the
      same data, in any number of processes. For another event loop, take a :meth:`sibling`.
    - Absence: a record whose ``expires_at`` has passed is absent, however late it is dropped.
    - Clock: only the store's own steady clock (:meth:`now`) decides leases and retention (I4); no
      verb but :meth:`now` knows the calendar.
    - Raises: ``StoreUnavailable`` (the outcome may be unknown), ``StoreFull``, ``StoreReadOnly``,
      ``CorruptRecord``, ``InvalidInput`` for what is over a limit, ``UnsupportedCapability``. What
      a driver raises is the cause, never the error itself.
    - Retries: none. The services retry, bounded and jittered, with the same commit id.
    - Cancellation: a cancelled call leaves no unread answer, no open transaction and no half
      commit; whether a write took effect is unknown (I7).
    """

    async def now(self) -> StoreTime:
        """Return the time on the store's two clocks.

        Clock: ``micros`` is elapsed time, the same for every store on the data, the time that a
            machine sleeps included. It never goes back, over restarts either, and no wall clock
            moves it, whatever that one showed when the data was opened or made. ``calendar``
            follows the wall clock at once, in every store that is open.
        Cost: no round trip where the store can answer from what it knows.
        """
        ...

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        """Return the records that exist, by key.

        Atomicity: each record by itself. Order: none.
        Concurrency: strongly consistent: every commit that was answered before is seen.
        Cost: one round trip.
        """
        ...

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        """Apply each commit whole, or not at all; answer in the order given.

        Every write states the version it expects; if one differs, or a guard does not hold, the
        commit does nothing and says which records conflict. If every record that it puts holds
        this commit's id, it was applied before: the same answer is given again (I6), the versions
        that it gave then, whatever claims have added since. A write clears ``grant`` and, unless
        it says otherwise, keeps ``lease``, an expired one too. A record that is absent has none:
        its lease and its grant went with it, and the next one of its key begins without.

        Atomicity: each commit with its events and increments. The list is a batch for speed only.
        Concurrency: linearizable for each record.
        Order: members of the list are independent; of two that write one record the second
            conflicts, or sees what the first one wrote.
        Raises: ``InvalidInput`` or ``TooLarge`` for a commit that is malformed or over a limit;
            then no commit of the list was applied.
        Cost: one round trip for the list; it does not grow with what the store holds.
        """
        ...

    async def claim(self, claim: Claim) -> list[Record]:
        """Take up to ``limit`` records with the smallest sort values over the partitions.

        Each one gets version + 1, the grant, a lease (``granted`` and ``renewed`` now, ``limit``
        after the smaller of the claim's and the record's ``lease_limit``, ``expires`` after
        ``duration``, and at the limit at the latest) and the patch; if the collection has a
        ``lease_sort``, that attribute becomes ``sort_key(expires, key)``. Where neither names a
        ``lease_limit``, the limit is :data:`~cicd_core.store.limits.MAX_INSTANT`. A partition that
        is named twice counts once. An empty grant is a grant: it is not None.

        If records hold a lease with this claim id, this is a repetition: all of those are answered,
        whatever the limit and the partitions are now, as they stand now, expired leases too, and
        nothing more is taken. Their order is that of the claim's sort attribute (a record that has
        it no more comes first), then that of the keys. Calls with one claim id are one claim also
        while the first of them is under way: all of them together take up to ``limit``, once.

        A record that comes into a partition by the patch wakes those who wait there. Where the
        claim leaves a record behind, also with a ``limit`` of 0, one more of those is woken who
        wait in its partitions with a turn: so a claim passes on what it was woken for and did not
        take.

        Atomicity: each record by itself. No (key, version) is ever granted to two claim ids (I2).
        Order: by sort value over all partitions, by code points, as the index sees it.
        Cost: one round trip; it grows with the partitions and ``limit``, never with the depth.
        """
        ...

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        """Move each lease's expiry to now + ``duration`` where the claim id matches.

        Never back, never past the lease's limit; an expired lease that nobody took away is
        renewed all the same. ``renewed`` becomes now, also where ``expires`` can't move: it is the
        holder's last sign of life. The version stays. None: the record is absent, or its lease has
        another claim id, or it has none.

        The attribute ``lease_sort`` may move on to ``sort_key(expires, key)`` if it held that of
        the old expiry; a store may also leave it. Where a commit has put another value there, it
        stays. A renewal need not wake those who wait in a partition of that index.

        Atomicity: each renewal by itself; one that is answered None stops no other. Order: answers
        in the order given; a lease that stands twice in the list is renewed twice.
        Concurrency: lists that name the same records in different orders wait for each other at
        most, and never end in an error because of it.
        Cost: one round trip for the list.
        """
        ...

    async def page(self, query: Query) -> RecordPage:
        """Return a page of one partition.

        It has ``limit`` records if there are so many, unless it says by ``resume`` that it ended
        early. A store does that where what its index shows is no record of the partition any more,
        and to read on would cost more than a page may. A record that the store can't read is left
        out, and may be named in ``unreadable``.

        Concurrency: it may lag behind commits, and never feeds a decision without a ``get``. Pages
            that follow each other (``after`` or ``before`` the :meth:`~RecordPage.end` of the last
            one) show each record that did not move exactly once.
        Order: by sort value, ascending or descending, by code points (that of UTF-8 bytes).
        Cost: one round trip; it grows with ``limit`` alone.
        """
        ...

    async def count(self, partitions: Sequence[Partition]) -> list[Count]:
        """Return how many records each partition holds, in the order given.

        Concurrency: where ``exact``, it is kept in the same transaction as the writes.
        Cost: one round trip; it does not grow with what the partitions hold.
        """
        ...

    async def counters(self, prefix: str) -> Counters:
        """Return the counters whose names begin with ``prefix``, letter by letter.

        One whose increments sum to 0 is there with 0, or missing: it means the same.
        A group of a day (``…/YYYYMMDD``) may be gone once that day lies more than 94 days back on
        both clocks (:mod:`cicd_core.store.counter_days`); all others stay.

        Concurrency: consistent with the log up to the cursor in the answer (I12).
        Cost: it grows with the counters that are answered, if the prefix holds a whole group.
        """
        ...

    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        """Return events after the cursor; None is the beginning of what is kept.

        Every event of every commit, once to a reader that follows the cursor; each subject's in
        the order of its versions (I3). A gap that retention tore, or a restore of a backup, is
        said (``torn``), not skipped: also where everything was dropped and no event is left to
        answer. It is said once: the answer's cursor lies behind it. None never finds a gap.

        A log without any event has a cursor too, and an event that comes later is behind it. A page
        may be shorter than ``limit``; one that is empty, with the cursor that was given, says that
        there is nothing more now.

        Raises: ``InvalidCursor`` for one that this store never gave.
        Cost: one round trip; it grows with ``limit``.
        """
        ...

    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - the
        # timeout is part of the question (how long may work stay away), not of the call
        """Return True when one of the watches may have come true, False after ``timeout`` seconds.

        It looks first: what is true already answers at once, with a timeout of 0 too. Then a
        commit or a claim that brings a record into a partition, above the bound, wakes the waiters
        of every handle on the data. A record that was there already and moves above the bound
        counts. A True may be spurious, and is never the only way to learn of work.

        Order: watches without a turn are woken by every record. Of those with a ``turn``, a record
            wakes one, the smallest turn first, in all processes together or, at the least, one in
            each process. A wait that is cancelled after it was chosen passes the wake-up on; who is
            answered True claims, or passes it on by a claim with a ``limit`` of 0. A store that
            polls may answer all of them.
        Concurrency: where the process of the chosen one dies, the others look again within some
            seconds.
        """
        ...

    def sibling(self) -> AbstractAsyncContextManager[Store]:
        """Open another store on the same data, for another thread's event loop."""
        ...
