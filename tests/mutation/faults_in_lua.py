"""Faults in the scripts of the Redis store."""

from __future__ import annotations

from typing import Final

from tests.mutation.faults import Engine, Fault

_LUA: Final = "cicd_core_redis/lua"
_CLAIM: Final = f"{_LUA}/claim.lua"
_GRANT: Final = f"{_LUA}/grant.lua"
_COMMIT: Final = f"{_LUA}/commit.lua"
_APPLY: Final = f"{_LUA}/apply.lua"
_RENEW: Final = f"{_LUA}/renew.lua"
_MOVES: Final = f"{_LUA}/moves.lua"

FAULTS: Final = (
    Fault(
        "a claim takes the largest first",
        _CLAIM,
        "if x ~= y then return x < y end",
        "if x ~= y then return x > y end",
        "test_a_claim_takes_the_smallest_over_all_of_its_partitions",
    ),
    Fault(
        "a claim takes one too many",
        _CLAIM,
        "while #won < limit and",
        "while #won <= limit and",
        "test_a_claim_takes_no_more_than_its_limit",
    ),
    Fault(
        "the larger limit of a lease",
        _CLAIM,
        "tonumber(limit) < most)",
        "tonumber(limit) > most)",
        "test_a_lease_ends_at_the_smaller_limit_at_the_latest",
    ),
    Fault(
        "a claim forgets the version",
        _CLAIM,
        "new[VERSION] = old[VERSION] + 1",
        "new[VERSION] = old[VERSION]",
        "test_a_claim_writes_version_grant_lease_and_patch",
    ),
    Fault(
        "a grant is kept from before",
        _CLAIM,
        "new[GRANT] = claim.grant",
        "new[GRANT] = new[GRANT] or claim.grant",
        "test_a_claim_over_a_lease_gives_the_record_a_new_lease",
    ),
    Fault(
        "what follows the lease is a microsecond off",
        _CLAIM,
        "format('%016d:', ends) .. key end",
        "format('%016d:', ends + 1) .. key end",
        "test_a_claim_writes_version_grant_lease_and_patch",
    ),
    Fault(
        "an expired record stops a claim",
        _CLAIM,
        "while #won < limit and gone < 1000 do",
        "while #won < limit and gone < 1 do",
        "test_claims_take_the_records_after_an_unreadable_one",
    ),
    Fault(
        "a claim reads eight of a partition",
        _CLAIM,
        "if not line.head and #line.names == chunk then",
        "if not line.head and #line.names > chunk then",
        "test_a_claim_takes_many_from_one_of_its_partitions",
    ),
    Fault(
        "a repetition takes more",
        _GRANT,
        "if #taken > 0 or is_more then",
        "if #taken >= claim.limit and #taken > 0 or is_more then",
        "test_a_repeated_claim_takes_nothing_even_if_it_asks_for_more",
    ),
    Fault(
        "only the first index is claimed from",
        _GRANT,
        "PREFIX .. claim.prefix .. take()",
        "PREFIX .. shape(claim.collection)[3] .. take()",
        "test_a_claim_by_another_index_takes_by_its_partitions_and_in_its_order",
    ),
    Fault(
        "a guard is not looked at",
        _COMMIT,
        "if write.guarded and old[CLAIM]",
        "if false and old[CLAIM]",
        "test_a_guarded_write_conflicts_while_the_lease_holds",
    ),
    Fault(
        "any older version will do",
        _COMMIT,
        "return old[VERSION] == tonumber(write.expected)",
        "return old[VERSION] >= tonumber(write.expected)",
        "test_a_conflict_names_every_record_with_an_unexpected_version",
    ),
    Fault(
        "a lease moves back",
        _COMMIT,
        "if tonumber(kept) > tonumber(ends) then ends = kept end",
        "",
        "test_a_lease_of_the_same_claim_never_moves_back",
    ),
    Fault(
        "the last sign of life moves back",
        _COMMIT,
        "if tonumber(old[RENEWED]) > tonumber(renewed) then renewed = old[RENEWED] end",
        "",
        "test_a_lease_of_the_same_claim_keeps_the_last_sign_of_life",
    ),
    Fault(
        "a kept lease outlasts its new limit",
        _COMMIT,
        "tonumber(old[LEASE_END]) < tonumber(most) and old[LEASE_END] or most",
        "old[LEASE_END]",
        "test_a_lease_of_the_same_claim_ends_at_its_new_limit",
    ),
    Fault(
        "a commit forgets the lease",
        _COMMIT,
        "if write.lease == 'k' and old then",
        "if write.lease == 'K' and old then",
        "test_a_commit_clears_the_grant_and_keeps_the_lease",
    ),
    Fault(
        "a commit keeps the grant",
        _COMMIT,
        "ends, most, false, unpack(ARGV",
        "ends, most, old and old[GRANT] or false, unpack(ARGV",
        "test_a_commit_clears_the_grant_and_keeps_the_lease",
    ),
    Fault(
        "a repetition answers the version of now",
        _APPLY,
        "given[#given + 1] = old and old[GIVEN]",
        "given[#given + 1] = old and old[VERSION]",
        "test_a_repeated_commit_is_recognised_after_a_claim_and_a_renewal",
    ),
    Fault(
        "one record that holds the id is enough",
        _APPLY,
        "before = before and old and old[COMMIT] == id",
        "before = #given > 1 and before or old and old[COMMIT] == id",
        "test_a_repeated_commit_that_others_partly_overwrote_conflicts",
    ),
    Fault(
        "a conflict names the first record alone",
        _APPLY,
        "if #wrong > 1 then return wrong end",
        "if #wrong > 1 then return {0, wrong[2]} end",
        "test_a_conflict_names_every_record_with_an_unexpected_version",
    ),
    Fault(
        "every hundred events one is lost",
        _APPLY,
        "tell(math.max(events - 100, 0), versions)",
        "tell(math.max(events - 101, 0), versions)",
        "test_a_commit_may_have_five_hundred_events_and_increments",
    ),
    Fault(
        "an event tells of the version before",
        _APPLY,
        "version = digits(versions[collection .. '\\0' .. key])",
        "version = digits(versions[collection .. '\\0' .. key] - 1)",
        "test_an_event_is_read_as_it_was_written",
    ),
    Fault(
        "a prefix finds no new group",
        f"{_LUA}/increments.lua",
        "if total == tonumber(amount) then",
        "if total ~= tonumber(amount) then",
        "test_a_prefix_is_compared_letter_by_letter",
    ),
    Fault(
        "a prefix finds its whole group",
        f"{_LUA}/counters.lua",
        "if string.sub(values[i], 1, #prefix) == prefix then",
        "if values[i] then",
        "test_a_prefix_is_compared_letter_by_letter",
    ),
    Fault(
        "a page goes one way",
        f"{_LUA}/page.lua",
        "  if descending then\n    return",
        "  if false then\n    return",
        "test_a_page_may_be_in_descending_order",
    ),
    Fault(
        "an expired record wakes",
        f"{_LUA}/look.lua",
        "if read(collection, key_in(name)) then return name end",
        "do return name end",
        "test_an_expired_record_wakes_no_waiter",
    ),
    Fault(
        "a record stays where it stood in its partition",
        _MOVES,
        "if was ~= is or was_at ~= is_at then",
        "if was ~= is then",
        "test_a_record_that_moves_above_the_bound_wakes",
    ),
    Fault(
        "what is claimed stays in its partition",
        _MOVES,
        "if was ~= '' and was_at ~= '' then",
        "if was ~= '' and was_at == '' then",
        "test_a_record_moves_with_its_attributes",
    ),
    Fault(
        "a claim keeps what another took",
        _MOVES,
        "if left ~= '' then step",
        "if false then step",
        "test_a_repeated_claim_leaves_out_records_of_another_claim",
    ),
    Fault(
        "nothing expires from counts",
        _MOVES,
        "else call('ZADD', PREFIX .. 'expiring', is, name) end",
        "end",
        "test_counts_follow_retention",
    ),
    Fault(
        "who waits is pushed nothing",
        _MOVES,
        "call('SPUBLISH', place, name)",
        "call('SPUBLISH', place .. '-', name)",
        "test_a_commit_of_another_handle_is_pushed_to_a_waiter",
    ),
    Fault(
        "anybody renews",
        _RENEW,
        "if not old or old[CLAIM] ~= claim_id then return {} end",
        "if not old or old[CLAIM] == '' then return {} end",
        "test_another_claim_cannot_renew",
    ),
    Fault(
        "a renewal passes the limit",
        _RENEW,
        "math.min(NOW + duration, tonumber(old[LEASE_MOST]))",
        "NOW + duration",
        "test_no_renewal_passes_the_leases_limit",
    ),
    Fault(
        "a renewal moves back",
        _RENEW,
        "if most > tonumber(expires) then expires",
        "if most > 0 then expires",
        "test_a_renewal_never_moves_a_lease_back",
    ),
    Fault(
        "a renewal is no sign of life",
        _RENEW,
        "if NOW > tonumber(old[RENEWED]) then",
        "if false then",
        "test_a_renewal_is_the_holders_last_sign_of_life",
    ),
    Fault(
        "a renewal moves every deadline",
        _RENEW,
        "if old[LAST + follows] == format(pattern, tonumber(old[LEASE_END])) .. key then",
        "if old[LAST + follows] then",
        "test_a_renewal_leaves_a_deadline_that_a_commit_has_set",
    ),
    Fault(
        "a gap is not said",
        f"{_LUA}/sweep.lua",
        "call('HSET', KEYS[1], 'dropped', last)",
        "",
        "test_events_are_removed_after_their_retention_and_leave_a_gap",
    ),
    Fault(
        "the log is never shorter",
        f"{_LUA}/sweep.lua",
        "if #old > 0 then",
        "if #old > 1000000 then",
        "test_events_are_removed_after_their_retention_and_leave_a_gap",
    ),
    Fault(
        "a day of counters goes early",
        f"{_LUA}/sweep.lua",
        "if day and day < first_kept then",
        "if day and day <= first_kept then",
        "test_counters_stay_until_their_day_lies_94_days_back_on_both_clocks",
    ),
    Fault(
        "elapsed time follows the wall clock back",
        f"{_LUA}/clock.lua",
        "if now <= low then return low end",
        "if now <= low then return now end",
        "test_a_set_wall_clock_does_not_move_elapsed_time",
    ),
    Fault(
        "a record lives for a second too long",
        f"{_LUA}/places.lua",
        "tonumber(header[EXPIRES]) > NOW",
        "tonumber(header[EXPIRES]) + 1000000 > NOW",
        "test_an_expired_record_is_not_read",
    ),
)

REDIS: Final = Engine(
    package="cicd_core_redis",
    tests=(
        "tests/redis/test_store_conformance.py::TestRedisStore",
        "tests/redis/test_store_conformance.py::TestRedisInLockstep",
        "tests/redis/test_store_histories.py",
    ),
    faults=FAULTS,
)
