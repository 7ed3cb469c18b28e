"""The store contract: the complete duties of a backend.

A store keeps records in named collections, in a namespace, and does not interpret them: every rule
about jobs, deployments and agents is in :mod:`cicd_core.lifecycle`. To write a backend, implement
:class:`Store`; this module reads no clock, does not retry, and decodes no body.

Every call reaches a backend through :class:`~cicd_core.store.retrying.RetryingStore`, which has
checked it: the arguments are within the limits of :mod:`cicd_core.store.limits`, and
:attr:`Store.lifetime` allows the call. A backend repeats neither check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from cicd_core.store.lifetime import Lifetime
    from cicd_core.store.records import (
        Claim,
        Collection,
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

    Every verb has these properties:

    - Concurrency: any number of calls at once, from one event loop; any number of stores on the
      same data, in any number of processes. For another event loop, take a :meth:`sibling`.
    - Absence: a record whose ``expires_at`` has passed is absent, even before it is removed.
    - Clock: only the store's own steady clock (:meth:`now`) decides leases and retention (I4); no
      verb except :meth:`now` uses the calendar.
    - Raises: ``StoreUnavailable`` (the outcome may be unknown), ``StoreFull``, ``StoreReadOnly``,
      ``CorruptRecord``, ``UnsupportedCapability``. A driver's error is the cause, never the
      error itself. ``InvalidInput`` and ``TooLarge`` for values over a limit, and ``StoreClosed``
      before a call, come from ``RetryingStore``.
    - Retries: none in a backend. ``RetryingStore`` retries, bounded and jittered, with the same
      commit id.
    - Close: a ``wait`` under way ends with ``StoreClosed`` or ``StoreUnavailable``, at the latest
      at its next look. Leases, cursors and ids belong to the data, not to a store: they stay.
    - Cancellation: a cancelled call leaves no unread answer, no open transaction and no partial
      commit; whether a write took effect is unknown (I7).
    """

    @property
    def collections(self) -> tuple[Collection, ...]:
        """The collections that the store was opened with."""
        ...

    @property
    def lifetime(self) -> Lifetime:
        """Whether the store may be used; a backend ends it on close.

        Each opened store, also a sibling, has its own lifetime.
        """
        ...

    async def now(self) -> StoreTime:
        """Return the time on the store's two clocks.

        Clock: ``micros`` is elapsed time, the same for every store on the data, including the time
            that a machine sleeps. It never goes back, not even over restarts, and no wall clock
            moves it, whatever time that clock had when the data was created or opened.
            ``calendar`` follows the wall clock at once, in every open store.
        Cost: no round trip if the store can answer from its cache.
        """
        ...

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        """Return the records that exist, by key.

        Atomicity: each record by itself. Order: none.
        Concurrency: strongly consistent: every commit with an earlier answer is visible.
        Cost: one round trip.
        """
        ...

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        """Apply each commit completely, or not at all; answer in the order given.

        Every write states the version it expects; if one differs, or a guard is false, the commit
        does nothing and returns the conflicting records. If every record that it puts has this
        commit's id, it was applied before: the answer is the same as then (I6), with the versions
        of that time, even if claims have raised them since. A write clears ``grant`` and, by
        default, keeps ``lease``, even an expired one. An absent record has neither: its lease and
        its grant ended with it, and the next record with its key starts without them.

        Atomicity: each commit with its events and increments. The list is a batch for speed only.
        Concurrency: linearizable for each record.
        Order: members of the list are independent; if two write the same record, the second
            conflicts, or sees the write of the first.
        Raises: ``InvalidInput`` or ``TooLarge`` for a commit that is malformed or over a limit:
            ``RetryingStore`` checks the whole list, and then no commit of it is applied.
        Cost: one round trip for the list, whatever the size of the store.
        """
        ...

    async def claim(self, claim: Claim) -> list[Record]:
        """Claim up to ``limit`` records with the smallest sort values over the partitions.

        Each one gets version + 1, the grant, a lease (``granted`` and ``renewed`` now, ``limit``
        after the smaller of the claim's and the record's ``lease_limit``, ``expires`` after
        ``duration``, and at the limit at the latest) and the patch; if the collection has a
        ``lease_sort``, that attribute becomes ``sort_key(expires, key)``. Without any
        ``lease_limit``, the limit is :data:`~cicd_core.store.limits.MAX_INSTANT`. A repeated
        partition counts once. An empty grant is a grant: it is not None.

        If records have a lease with this claim id, this is a repetition: the answer is all of
        them, in their current state, including expired leases, whatever the limit and the
        partitions are now, and no more are claimed. They are ordered by the claim's sort attribute
        (records without it come first), then by key. Concurrent calls with one claim id are one
        claim: together they claim up to ``limit`` records, once.

        A record that enters a partition by the patch wakes the waiters of that partition. If the
        claim leaves a record behind, even with a ``limit`` of 0, it wakes one more waiter with a
        turn in its partitions: so a claim passes on the wake-up for work that it did not take.

        Atomicity: each record by itself. No (key, version) is ever granted to two claim ids (I2).
        Order: by sort value over all partitions, by code points, as in the index.
        Cost: one round trip; grows with the partitions and ``limit``, never with the depth.
        """
        ...

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        """Move each lease's expiry to now + ``duration`` if the claim id matches.

        Never back, never past the lease's limit; an expired lease that was not taken away is
        renewed too. ``renewed`` becomes now, even if ``expires`` can't move: it is the holder's
        last sign of life. The version stays. None: the record is absent, has a lease with another
        claim id, or has no lease.

        The attribute ``lease_sort`` may move on to ``sort_key(expires, key)`` if it had that of
        the old expiry; a store may also leave it. If a commit has put another value there, it
        stays. A renewal need not wake the waiters of a partition of that index.

        Atomicity: each renewal by itself; a None affects no other. Order: answers in the order
            given; a lease that appears twice in the list is renewed twice.
        Concurrency: lists with the same records in different orders may wait for each other, but
            never fail because of it.
        Cost: one round trip for the list.
        """
        ...

    async def page(self, query: Query) -> RecordPage:
        """Return a page of one partition.

        It has ``limit`` records if there are so many, unless ``resume`` says that it ended early.
        A store ends a page early if its index has entries of records that have left the partition,
        and reading further would cost more than a page may. A record that the store cannot read is
        omitted, and may be named in ``unreadable``.

        Concurrency: it may lag behind commits; never decide from it without a ``get``. Pages
            that follow each other (``after`` or ``before`` the :meth:`~RecordPage.end` of the last
            one) show each record that did not move exactly once.
        Order: by sort value, ascending or descending, by code points (that of UTF-8 bytes).
        Cost: one round trip; grows only with ``limit``.
        """
        ...

    async def count(self, partitions: Sequence[Partition]) -> list[Count]:
        """Return how many records each partition holds, in the order given.

        Concurrency: if ``exact``, it is updated in the same transaction as the writes.
        Cost: one round trip, whatever the size of the partitions.
        """
        ...

    async def counters(self, prefix: str) -> Counters:
        """Return the counters whose names start with ``prefix``, letter by letter.

        A counter whose increments sum to 0 is 0, or missing: both mean the same.
        A group of a day (``…/YYYYMMDD``) may be gone once that day is more than 94 days ago on
        both clocks (:mod:`cicd_core.store.counter_days`); all others stay.

        Concurrency: consistent with the log up to the cursor in the answer (I12).
        Cost: grows with the returned counters, if the prefix has a whole group.
        """
        ...

    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        """Return events after the cursor; None starts at the oldest stored event.

        Every event of every commit comes once to a reader that follows the cursor; each subject's
        in the order of its versions (I3). A gap from retention, or from a restored backup, is
        reported (``truncated``), not skipped: also if all events were removed and none is left to
        return. It is reported once: the answer's cursor is after it. None never finds a gap.

        A log without events has a cursor too, and later events are after it. A page may be shorter
        than ``limit``; an empty page with the given cursor means that there are no more events
        now.

        Raises: ``InvalidCursor`` for a cursor that this store never returned.
        Cost: one round trip; grows with ``limit``.
        """
        ...

    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - the
        # timeout is part of the request (how long to wait for work), not of the call
        """Return True when one of the watches may be true, False after ``timeout`` seconds.

        It checks first: a watch that is already true returns at once, even with a timeout of 0.
        Then a commit or a claim that brings a record into a partition, above the bound, wakes the
        waiters of every handle on the data. An existing record that moves above the bound counts.
        A True may be spurious, and is never the only way to learn of work.

        Order: every record wakes watches without a turn. Of those with a ``turn``, a record wakes
            one, the smallest turn first, in all processes together or at least one in each
            process. A wait that is cancelled after it was chosen passes the wake-up on; a caller
            that got True claims, or passes it on with a claim with a ``limit`` of 0. A store that
            polls may answer True to all of them.
        Concurrency: if the process of the chosen waiter dies, the others check again within some
            seconds.
        """
        ...

    def sibling(self) -> AbstractAsyncContextManager[Store]:
        """Open another store on the same data, for another thread's event loop."""
        ...
