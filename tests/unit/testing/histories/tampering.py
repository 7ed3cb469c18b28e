"""Faults to plant in a history that was right: each makes it one that no order explains.

Each function takes operations that happened one after the other, and returns them with one fault,
or None if there is no place for it.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from attrs import evolve

from cicd_core.store.records import Claim, Commit, Committed, Conflict, Delete, Put, Record, Renewal
from cicd_core.testing.recording.store_calls import Get

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

Operations = list[Any]


def a_get_shows_another_body(random: Random, done: Operations) -> Operations | None:
    place = chosen(random, done, is_sight)
    return place and replaced(done, *place, body=b"never written")


def a_get_shows_what_was_overwritten(random: Random, done: Operations) -> Operations | None:
    sights: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    for number, each in enumerate(done):
        if is_sight(each):
            sights[each.argument.key].append((number, each.result))
    stale = [
        (later, old)
        for seen in sights.values()
        for (_, old), (later, new) in pairwise(seen)
        if old.version != new.version
    ]
    return with_result(done, *random.choice(stale)) if stale else None


def a_get_shows_what_is_yet_to_be_written(random: Random, done: Operations) -> Operations | None:
    backwards = a_get_shows_what_was_overwritten(random, done[::-1])
    return backwards and backwards[::-1]


def a_get_misses_a_record(random: Random, done: Operations) -> Operations | None:
    place = chosen(random, done, is_sight)
    return place and with_result(done, place[0], None)


def a_get_shows_a_record_that_was_deleted(random: Random, done: Operations) -> Operations | None:
    last: dict[str, Any] = {}
    for number, each in enumerate(done):
        if isinstance(each.argument, Get):
            if each.result is None and each.argument.key in last:
                return with_result(done, number, last[each.argument.key])
            if each.result is not None:
                last[each.argument.key] = each.result
    return None


def a_refused_commit_says_that_it_was_applied(
    random: Random, done: Operations
) -> Operations | None:
    place = chosen(random, done, lambda each: isinstance(each.result, Conflict))
    if place is None:
        return None
    puts = [write for write in place[1].argument.writes if isinstance(write, Put)]
    versions = {(put.collection, put.key): put.expected + 1 for put in puts}
    return with_result(done, place[0], Committed(versions))


def an_applied_commit_says_that_it_was_refused(
    random: Random, done: Operations
) -> Operations | None:
    place = chosen(random, done, is_first_commit(done))
    if place is None:
        return None
    keys = tuple((write.collection, write.key) for write in place[1].argument.writes)
    return with_result(done, place[0], Conflict(keys))


def an_applied_commit_names_another_version(random: Random, done: Operations) -> Operations | None:
    place = chosen(random, done, is_first_commit(done))
    if place is None:
        return None
    versions = place[1].result.versions
    return with_result(done, place[0], Committed({each: n - 1 for each, n in versions.items()}))


def a_commit_was_never_asked_for(random: Random, done: Operations) -> Operations | None:
    place = chosen(random, done, is_only_commit(done))
    return place and without(done, place[0])


def a_repeated_commit_gives_new_versions(random: Random, done: Operations) -> Operations | None:
    for number, each in repetitions(done, Commit):
        if isinstance(each.result, Committed):
            versions = {key: version + 1 for key, version in each.result.versions.items()}
            return with_result(done, number, Committed(versions))
    return None


def a_repeated_commit_is_refused(random: Random, done: Operations) -> Operations | None:
    for number, each in repetitions(done, Commit):
        writes = each.argument.writes
        if isinstance(each.result, Committed) and len(writes) == 1:
            return with_result(done, number, Conflict(((writes[0].collection, writes[0].key),)))
    return None


def a_conflict_names_another_record(random: Random, done: Operations) -> Operations | None:
    for number, each in enumerate(done):
        if isinstance(each.result, Conflict) and len(each.argument.writes) > len(each.result.keys):
            keys = {(write.collection, write.key) for write in each.argument.writes}
            return with_result(done, number, Conflict(tuple(keys - set(each.result.keys))))
    return None


def a_claim_shows_the_version_before(random: Random, done: Operations) -> Operations | None:
    return in_a_grant(random, done, lambda record: {"version": record.version - 1})


def a_claim_shows_another_grant(random: Random, done: Operations) -> Operations | None:
    return in_a_grant(random, done, lambda record: {"grant": b"to somebody else"})


def a_claim_leaves_a_record_in_its_lane(random: Random, done: Operations) -> Operations | None:
    return in_a_grant(
        random, done, lambda record: {"attributes": {**record.attributes, "lane": "red"}}
    )


def a_claim_gives_somebody_elses_lease(random: Random, done: Operations) -> Operations | None:
    return in_a_grant(random, done, lambda record: {"lease": evolve(record.lease, claim_id="x")})


def a_claim_gives_a_lease_that_lasts_too_long(
    random: Random, done: Operations
) -> Operations | None:
    return in_a_grant(
        random,
        done,
        lambda record: {"lease": evolve(record.lease, expires=record.lease.expires + 1)},
    )


def a_claim_gives_no_lease(random: Random, done: Operations) -> Operations | None:
    return in_a_grant(random, done, lambda record: {"lease": None})


def two_claims_are_given_one_version(random: Random, done: Operations) -> Operations | None:
    place = chosen(random, done, is_grant)
    if place is None:
        return None
    number, grant = place
    other = evolve(grant.argument, claim_id="other")
    result = tuple(
        evolve(record, lease=evolve(record.lease, claim_id="other")) for record in grant.result
    )
    second = evolve(grant, client="other", argument=other, result=result)
    return [*done[: number + 1], second, *done[number + 1 :]]


def a_claim_does_not_say_what_it_took(random: Random, done: Operations) -> Operations | None:
    place = chosen(random, done, is_only_claim(done))
    return place and with_result(done, place[0], ())


def a_repeated_claim_forgets_what_it_gave(random: Random, done: Operations) -> Operations | None:
    for number, each in repetitions(done, Claim):
        if each.result:
            return with_result(done, number, ())
    return None


def a_renewal_moves_the_lease_back(random: Random, done: Operations) -> Operations | None:
    return in_a_renewal(random, done, lambda renewed: {"expires": 1})


def a_renewal_shows_another_version(random: Random, done: Operations) -> Operations | None:
    return in_a_renewal(random, done, lambda renewed: {"version": renewed.version + 1})


def a_renewal_shows_another_limit(random: Random, done: Operations) -> Operations | None:
    return in_a_renewal(random, done, lambda renewed: {"limit": renewed.limit - 1})


def a_renewal_for_nobody_is_granted(random: Random, done: Operations) -> Operations | None:
    place = chosen(random, done, is_renewal)
    if place is None:
        return None
    number, renewal = place
    argument = evolve(renewal.argument, claim_id="nobody")
    return [*done[:number], evolve(renewal, argument=argument), *done[number + 1 :]]


def a_renewal_does_not_find_its_lease(random: Random, done: Operations) -> Operations | None:
    place = chosen(random, done, is_renewal)
    return place and with_result(done, place[0], None)


FAULTS: tuple[Callable[[Random, Operations], Operations | None], ...] = (
    a_get_shows_another_body,
    a_get_shows_what_was_overwritten,
    a_get_shows_what_is_yet_to_be_written,
    a_get_misses_a_record,
    a_get_shows_a_record_that_was_deleted,
    a_refused_commit_says_that_it_was_applied,
    an_applied_commit_says_that_it_was_refused,
    an_applied_commit_names_another_version,
    a_commit_was_never_asked_for,
    a_repeated_commit_gives_new_versions,
    a_repeated_commit_is_refused,
    a_conflict_names_another_record,
    a_claim_shows_the_version_before,
    a_claim_shows_another_grant,
    a_claim_leaves_a_record_in_its_lane,
    a_claim_gives_somebody_elses_lease,
    a_claim_gives_a_lease_that_lasts_too_long,
    a_claim_gives_no_lease,
    two_claims_are_given_one_version,
    a_claim_does_not_say_what_it_took,
    a_repeated_claim_forgets_what_it_gave,
    a_renewal_moves_the_lease_back,
    a_renewal_shows_another_version,
    a_renewal_shows_another_limit,
    a_renewal_for_nobody_is_granted,
    a_renewal_does_not_find_its_lease,
)


def chosen(
    random: Random, done: Operations, suits: Callable[[Any], bool]
) -> tuple[int, Any] | None:
    places = [(number, each) for number, each in enumerate(done) if suits(each)]
    return random.choice(places) if places else None


def with_result(done: Operations, number: int, result: Any) -> Operations:
    return [*done[:number], evolve(done[number], result=result), *done[number + 1 :]]


def replaced(done: Operations, number: int, operation: Any, **changes: Any) -> Operations:
    return with_result(done, number, evolve(operation.result, **changes))


def without(done: Operations, number: int) -> Operations:
    return [*done[:number], *done[number + 1 :]]


def in_a_grant(
    random: Random, done: Operations, changes: Callable[[Any], dict[str, Any]]
) -> Operations | None:
    place = chosen(random, done, is_only_claim(done))
    if place is None:
        return None
    first, *others = place[1].result
    return with_result(done, place[0], (evolve(first, **changes(first)), *others))


def in_a_renewal(
    random: Random, done: Operations, changes: Callable[[Any], dict[str, Any]]
) -> Operations | None:
    place = chosen(random, done, is_renewal)
    return place and replaced(done, *place, **changes(place[1].result))


def is_sight(operation: Any) -> bool:
    return isinstance(operation.argument, Get) and isinstance(operation.result, Record)


def is_grant(operation: Any) -> bool:
    return isinstance(operation.argument, Claim) and bool(operation.result)


def is_renewal(operation: Any) -> bool:
    return isinstance(operation.argument, Renewal) and operation.result is not None


def is_first_commit(done: Operations) -> Callable[[Any], bool]:
    """Tell the first call of each commit that was applied and deletes nothing."""
    first = {id(call) for calls in calls_of(done, Commit).values() for call in calls[:1]}
    return lambda each: (
        id(each) in first
        and isinstance(each.result, Committed)
        and not any(isinstance(write, Delete) for write in each.argument.writes)
    )


def is_only_commit(done: Operations) -> Callable[[Any], bool]:
    once = {id(calls[0]) for calls in calls_of(done, Commit).values() if len(calls) == 1}
    return lambda each: id(each) in once and isinstance(each.result, Committed)


def is_only_claim(done: Operations) -> Callable[[Any], bool]:
    once = {id(calls[0]) for calls in calls_of(done, Claim).values() if len(calls) == 1}
    return lambda each: id(each) in once and bool(each.result)


def repetitions(done: Operations, kind: type[Any]) -> Iterator[tuple[int, Any]]:
    numbers = {id(each): number for number, each in enumerate(done)}
    for calls in calls_of(done, kind).values():
        for call in calls[1:]:
            yield numbers[id(call)], call


def calls_of(done: Operations, kind: type[Any]) -> dict[str, Operations]:
    calls: dict[str, Operations] = defaultdict(list)
    for each in done:
        if isinstance(each.argument, kind):
            argument: Any = each.argument
            name = argument.commit_id if kind is Commit else argument.claim_id
            calls[name].append(each)
    return calls
