"""Commits: one conditional update for a commit of one record, otherwise a transaction."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from anyio import sleep

from cicd_core.clock import monotonic_seconds
from cicd_core.errors import StoreUnavailable
from cicd_core.store.records import Committed, Conflict, Put
from cicd_core.store.semantics import applied_before, conflicts, subject_of
from cicd_core.values import frozen
from cicd_core_dynamodb import items
from cicd_core_dynamodb.calls import all_of
from cicd_core_dynamodb.elapsed import Stopwatch
from cicd_core_dynamodb.failures import ConditionFailed, TransactionRefused
from cicd_core_dynamodb.items import Seen
from cicd_core_dynamodb.log_times import DELAY
from cicd_core_dynamodb.updates import Writing, update_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cicd_core.ids import IdSource
    from cicd_core.store.records import Commit, StoreTime, Subject
    from cicd_core_dynamodb.calls import Calls, Item
    from cicd_core_dynamodb.items import Layout
    from cicd_core_dynamodb.journal import Journal
    from cicd_core_dynamodb.reads import Reader

#: The most attempts of a commit; it is read and tried again each time another writer was faster.
_ATTEMPTS: Final = 8
#: Seconds before the second attempt; it doubles.
_PAUSE: Final = 0.01


@frozen
class _Attempt:
    """One attempt to apply a commit, as it was journalled."""

    #: The version that each put gives.
    versions: dict[Subject, int]
    proofs: tuple[bytes, ...]
    since: Stopwatch

    @property
    def is_late(self) -> bool:
        """Whether it was journalled too long ago to be sent."""
        return bool(self.proofs) and self.since.seconds > DELAY


class Committer:
    """Applies commits."""

    def __init__(
        self,
        calls: Calls,
        layouts: Mapping[str, Layout],
        reader: Reader,
        journal: Journal | None,
        ids: IdSource,
    ) -> None:
        """Set the parts for its writes; without a journal, events and increments are dropped."""
        self._calls = calls
        self._layouts = layouts
        self._reader = reader
        self._journal = journal
        self._ids = ids

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        """Apply each commit completely, or not at all; answer in the order given."""
        since = Stopwatch()
        now = await self._calls.now()
        versions = [_versions(commit, None, now.micros) for commit in commits]
        proofs = await self._journaled(list(zip(commits, versions, strict=True)), now, since)
        attempts = [_Attempt(*pair, since) for pair in zip(versions, proofs, strict=True)]
        answers: dict[int, Committed | Conflict] = {}
        for wave in _waves(commits):
            done = await all_of(
                partial(self._apply, commits[number], attempts[number], now) for number in wave
            )
            answers.update(zip(wave, done, strict=True))
        return [answers[number] for number in range(len(commits))]

    async def _journaled(
        self, commits: list[tuple[Commit, dict[Subject, int]]], now: StoreTime, since: Stopwatch
    ) -> list[tuple[bytes, ...]]:
        if self._journal is None:
            return [()] * len(commits)
        return await self._journal.write(commits, now, since)

    async def _once_more(self, commit: Commit, versions: dict[Subject, int]) -> _Attempt:
        """Journal a commit that is about to be sent: for other versions, or too late."""
        since = Stopwatch()
        now = await self._calls.now()
        (proofs,) = await self._journaled([(commit, versions)], now, since)
        return _Attempt(versions, proofs, since)

    async def _apply(self, commit: Commit, first: _Attempt, now: StoreTime) -> Committed | Conflict:
        attempts, least, began = [first], now.micros, monotonic_seconds()
        seen: Mapping[Subject, Seen] | None = None
        for number in range(_ATTEMPTS):
            if attempts[-1].is_late:
                attempts.append(await self._once_more(commit, attempts[-1].versions))
            seen = await self._write(commit, attempts[-1], seen, now)
            if seen is None:
                return Committed(attempts[-1].versions)
            for attempt in attempts:
                if _was_applied(commit, attempt, seen):
                    return Committed(attempt.versions)
            now = await self._calls.now()
            answer = _judged(commit, seen, now)
            if answer is not None:
                return answer
            if monotonic_seconds() - began > DELAY:
                raise StoreUnavailable(f"commit {commit.commit_id}: it took too long to apply")
            versions = _versions(commit, seen, least)
            if versions != attempts[-1].versions:
                attempts.append(await self._once_more(commit, versions))
            if number:
                await sleep(_PAUSE * 2**number * (0.5 + self._ids.jitter()))
        keys = ", ".join(repr(subject) for subject in first.versions)
        raise StoreUnavailable(f"commit {commit.commit_id}: {keys} changed during each attempt")

    async def _write(
        self,
        commit: Commit,
        attempt: _Attempt,
        seen: Mapping[Subject, Seen] | None,
        now: StoreTime,
    ) -> Mapping[Subject, Seen] | None:
        """Return None if the commit was applied, otherwise the current records."""
        updates = self._updates(commit, attempt, seen, now)
        try:
            if len(updates) == 1:
                await self._calls("update_item", **updates[0])
            else:
                await self._calls("transact_write_items", **_transaction(updates))
        except ConditionFailed as refused:
            (write,) = commit.writes
            layout = self._layouts[write.collection]
            return {subject_of(write): layout.seen(refused.item)}
        except TransactionRefused:
            return await self._look(commit)
        return None

    def _updates(
        self,
        commit: Commit,
        attempt: _Attempt,
        seen: Mapping[Subject, Seen] | None,
        now: StoreTime,
    ) -> list[dict[str, Any]]:
        """Return the parameters of each update; the first put keeps the proofs."""
        anchor = anchor_of(commit)
        parameters: list[dict[str, Any]] = []
        for write in commit.writes:
            subject, layout = subject_of(write), self._layouts[write.collection]
            proofs = attempt.proofs if subject == anchor else ()
            update = update_of(
                write,
                layout,
                None if seen is None else seen[subject],
                attempt.versions.get(subject, 0),
                Writing(commit_id=commit.commit_id, now=now, proofs=proofs),
            )
            key = {items.KEY: layout.key(write.key)}
            parameters.append(update.parameters(self._calls.table(write.collection), key))
        return parameters

    async def _look(self, commit: Commit) -> dict[Subject, Seen]:
        """Read all records that a commit writes."""
        keys: dict[str, list[str]] = {}
        for write in commit.writes:
            keys.setdefault(write.collection, []).append(write.key)
        found = await all_of(
            partial(self._reader.items, self._layouts[name], wanted)
            for name, wanted in keys.items()
        )
        there: dict[Subject, Item] = {
            (name, key): item
            for name, those in zip(keys, found, strict=True)
            for key, item in those.items()
        }
        return {
            subject_of(write): self._layouts[write.collection].seen(there.get(subject_of(write)))
            for write in commit.writes
        }


def anchor_of(commit: Commit) -> Subject:
    """Return the record that keeps the proof of a commit: the first one that it puts."""
    return next(subject_of(write) for write in commit.writes if isinstance(write, Put))


def _was_applied(commit: Commit, attempt: _Attempt, seen: Mapping[Subject, Seen]) -> bool:
    """Whether this attempt was applied, although its answer was lost and it was sent again.

    Its proofs show it, even if the record has changed since. So do the versions of new records:
    they are the time, so no earlier call gave them.
    """
    if not seen[anchor_of(commit)].proofs.isdisjoint(attempt.proofs):
        return True
    return all(
        isinstance(write, Put)
        and not write.expected
        and (there := seen[subject_of(write)]).record is not None
        and there.record.commit_id == commit.commit_id
        and there.given == attempt.versions[subject_of(write)]
        for write in commit.writes
    )


def _judged(
    commit: Commit, seen: Mapping[Subject, Seen], now: StoreTime
) -> Committed | Conflict | None:
    """Return the answer after a read of the records; None: try again with their state."""
    records = {subject: item.live(now.micros) for subject, item in seen.items()}
    given = {subject: item.given for subject, item in seen.items()}
    before = applied_before(commit, records, given)
    if before is not None:
        return Committed(before)
    wrong = conflicts(commit, records, now.micros - now.uncertainty)
    return Conflict(wrong) if wrong else None


def _versions(
    commit: Commit, seen: Mapping[Subject, Seen] | None, first: int
) -> dict[Subject, int]:
    """Return the version that each put gives; ``first`` is the least version of a new record."""
    versions: dict[Subject, int] = {}
    for write in commit.writes:
        if isinstance(write, Put):
            subject = subject_of(write)
            there = Seen(None) if seen is None else seen[subject]
            before = there.record.version if there.record else there.deleted or 0
            versions[subject] = write.expected + 1 if write.expected else max(1, first, before + 1)
    return versions


def _waves(commits: Sequence[Commit]) -> list[list[int]]:
    """Group commits that can run concurrently: two that write one record are in two groups."""
    waves: list[list[int]] = []
    last: dict[Subject, int] = {}
    for number, commit in enumerate(commits):
        subjects = [subject_of(write) for write in commit.writes]
        wave = max((last.get(subject, -1) for subject in subjects), default=-1) + 1
        last.update(dict.fromkeys(subjects, wave))
        if wave == len(waves):
            waves.append([])
        waves[wave].append(number)
    return waves


def _transaction(updates: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the parameters of a transaction; if sent twice, it is applied once."""
    token = hashlib.blake2b(repr(updates).encode(), digest_size=18).hexdigest()
    return {
        "TransactItems": [{"Update": update} for update in updates],
        "ClientRequestToken": token,
    }
