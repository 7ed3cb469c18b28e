"""Faults in the tables, items and expressions of the DynamoDB store."""

from __future__ import annotations

from typing import Final

from tests.dynamodb.engines import engines
from tests.mutation.faults import Engine, Fault

_PACKAGE: Final = "cicd_core_dynamodb"
_UPDATES: Final = f"{_PACKAGE}/updates.py"
_CLAIMS: Final = f"{_PACKAGE}/claims.py"
_ITEMS: Final = f"{_PACKAGE}/items.py"
_RENEWALS: Final = f"{_PACKAGE}/renewals.py"
_READS: Final = f"{_PACKAGE}/reads.py"
_ROWS: Final = f"{_PACKAGE}/rows.py"

#: The first condition of a creation, and the beginning of the second one.
_CREATION: Final = (
    'update.require("attribute_not_exists({v})", v=items.VERSION)\n        update.require(\n'
)

#: Where the increments are counted that no sum holds yet.
_OF_TAIL: Final = "for name, amount in increments:\n                if name.startswith(prefix):"

FAULTS: Final = (
    Fault(
        "a put writes over any version",
        _UPDATES,
        '"{v} = {expected}"',
        '"{v} <> {expected} OR {v} = {expected}"',
        "test_a_commit_that_conflicts_does_nothing_at_all",
    ),
    Fault(
        "a creation writes over what is there",
        _UPDATES,
        _CREATION,
        _CREATION.replace('v})"', 'v}) OR attribute_exists({v})"', 1),
        "test_of_many_creations_of_one_record_exactly_one_succeeds",
    ),
    Fault(
        "an expired record is written over",
        _UPDATES,
        '"attribute_not_exists({x}) OR {x} > {now}", x=EXPIRY, now=number(now.micros)',
        '"attribute_not_exists({x}) OR {x} > {now}", x=EXPIRY, now=number(0)',
        "test_an_expired_record_cannot_be_overwritten",
    ),
    Fault(
        "a guard is not looked at",
        _UPDATES,
        '"attribute_not_exists({le}) OR {le} < {surely}"',
        '"attribute_not_exists({le}) OR {le} < {surely} OR {le} >= {surely}"',
        "test_a_guarded_write_conflicts_while_the_lease_holds",
    ),
    Fault(
        "a lease moves back",
        _UPDATES,
        "({le} <= {expires} AND {lr} <= {renewed})",
        "(({le} <= {expires} OR {le} > {expires}) AND {lr} <= {renewed})",
        "test_a_lease_of_the_same_claim_never_moves_back",
    ),
    Fault(
        "the last sign of life moves back",
        _UPDATES,
        "AND {lr} <= {renewed})",
        "AND ({lr} <= {renewed} OR {lr} > {renewed}))",
        "test_a_lease_of_the_same_claim_keeps_the_last_sign_of_life",
    ),
    Fault(
        "a commit forgets the lease",
        _UPDATES,
        "kept.update(_OF_LEASE)",
        "kept.update(())",
        "test_a_commit_clears_the_grant_and_keeps_the_lease",
    ),
    Fault(
        "a commit keeps the grant",
        _ITEMS,
        "    BODY,\n    GRANT,\n    LEASE,",
        "    BODY,\n    LEASE,",
        "test_a_commit_clears_the_grant_and_keeps_the_lease",
    ),
    Fault(
        "a repetition answers another version",
        _ITEMS,
        "GIVEN: number(record.version)",
        "GIVEN: number(1)",
        "test_a_repeated_update_gives_the_same_answer",
    ),
    Fault(
        "namespaces share their records",
        _ITEMS,
        'return text(f"{self._namespace}|{key}")',
        'return text(f"all|{key}")',
        "test_namespaces_do_not_see_each_other",
    ),
    Fault(
        "one shard of a partition is read",
        _ITEMS,
        "range(self._shards if index.partition in self._hot else 1)",
        "range(1)",
        "test_a_long_claim_takes_all_records_and_is_repeated_completely",
    ),
    Fault(
        "a record that will expire is put without its end",
        _UPDATES,
        "values[EXPIRY] = number(record.expires_at)",
        "values[EXPIRY] = number(record.expires_at + 1)",
        "test_a_record_is_read_as_it_was_put",
    ),
    Fault(
        "a record's limit of leases is forgotten",
        _UPDATES,
        "values[LEASE_LIMIT] = number(record.lease_limit)",
        "values.pop(LEASE_LIMIT, None)",
        "test_a_lease_ends_at_the_smaller_limit_at_the_latest",
    ),
    Fault(
        "a claim adds nothing to the version",
        f"{_PACKAGE}/expressions.py",
        "self.value({'N': '1'})",
        "self.value({'N': '0'})",
        "test_a_claim_writes_version_grant_lease_and_patch",
    ),
    Fault(
        "what follows the lease is its limit",
        _CLAIMS,
        "text(sort_key(lease.expires, row.key))",
        "text(sort_key(lease.limit, row.key))",
        "test_a_claim_writes_version_grant_lease_and_patch",
    ),
    Fault(
        "a record's own limit does not count for a lease",
        _CLAIMS,
        "lease_of(claim, of_record, now)",
        "lease_of(claim, None, now)",
        "test_a_lease_ends_at_the_smaller_limit_at_the_latest",
    ),
    Fault(
        "a claim takes what is taken",
        _CLAIMS,
        '"{p} = {place}"',
        '"{p} = {place} OR {p} <> {place} OR attribute_not_exists({p})"',
        "test_of_32_claimers_of_one_record_exactly_one_gets_it",
    ),
    Fault(
        "a patch removes nothing",
        _CLAIMS,
        "            update.remove([name])",
        "            update.remove([])",
        "test_a_claimed_record_is_in_the_partitions_of_its_patch",
    ),
    Fault(
        "a claim's mark is written over",
        f"{_PACKAGE}/claim_intents.py",
        '"attribute_not_exists({p})", p=STREAM_KEY',
        '"attribute_not_exists({p}) OR attribute_exists({p})", p=STREAM_KEY',
        "test_a_repeated_claim_takes_nothing_even_if_it_asks_for_more",
    ),
    Fault(
        "anybody renews",
        _RENEWALS,
        'update.require("{l} = {claim}"',
        'update.require("{l} = {claim} OR {l} <> {claim}"',
        "test_another_claim_cannot_renew",
    ),
    Fault(
        "a renewal passes the limit",
        _RENEWALS,
        '"{ll} >= {expires}"',
        '"{ll} >= {expires} OR {ll} < {expires}"',
        "test_no_renewal_passes_the_leases_limit",
    ),
    Fault(
        "a renewal moves back",
        _RENEWALS,
        '"{le} <= {expires}"',
        '"{le} <= {expires} OR {le} > {expires}"',
        "test_a_renewal_never_moves_a_lease_back",
    ),
    Fault(
        "a page goes one way",
        _ROWS,
        '"ScanIndexForward": not bounds.descending',
        '"ScanIndexForward": True',
        "test_a_page_may_be_in_descending_order",
    ),
    Fault(
        "what has expired is counted",
        _ROWS,
        'query.filter("attribute_not_exists({x}) OR {x} > {now}"',
        'query.filter("attribute_not_exists({x}) OR {x} > {now} OR {x} <= {now}"',
        "test_an_expired_record_is_not_counted",
    ),
    Fault(
        "a watch looks from the beginning",
        _READS,
        "bounds = Bounds(after=after or None)",
        "bounds = Bounds()",
        "test_a_watch_looks_only_above_its_bound",
    ),
    Fault(
        "counters begin with any prefix",
        f"{_PACKAGE}/counters.py",
        _OF_TAIL,
        _OF_TAIL.replace("name.startswith(prefix)", "name"),
        "test_a_prefix_is_compared_letter_by_letter",
    ),
)

DYNAMODB: Final = Engine(
    package=_PACKAGE,
    tests=("tests/dynamodb/test_conformance.py",),
    marks="not crash and not cluster",  # its suite takes a minute of CPU, and is a thorough one
    without=tuple(engines()[1:]),
    faults=FAULTS,
)
