"""Mistakes beside those of the guide, and the test of the suite that finds each.

Those of ``ALTERED`` are made over the memory store and over SQLite, those of ``ENGINES`` inside of
the memory store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.conformance import altered_answers as answers
from tests.conformance import altered_reads as reads
from tests.conformance import altered_writes as writes
from tests.conformance import faulty_ends as ends
from tests.conformance import faulty_engines as engines
from tests.conformance import faulty_handles as handles
from tests.conformance import faulty_keeping as keeping

if TYPE_CHECKING:
    from cicd_core.store.memory import MemoryBackend
    from cicd_core.testing.passing_store import PassingStore

_MANY_LANES: Final = "test_a_claim_may_name_as_many_partitions_as_a_pool_has_lanes"
_LOOKALIKE_LANE: Final = "test_a_partition_with_a_similar_value_is_empty"
_LOOKALIKE_CLAIM: Final = "test_a_claim_with_a_similar_id_has_no_records_of_the_other"
_LOOKALIKE_NAMES: Final = "test_counters_and_events_with_similar_names_are_different"
_LONG_COMMIT: Final = "test_a_commit_may_have_five_hundred_events_and_increments"
_OTHER_HANDLE: Final = "test_a_handle_sees_a_later_write_of_another_handle"
_LARGE: Final = "test_a_record_keeps_the_largest_numbers"
_EVENT_ENDS: Final = "test_an_event_keeps_the_ends_of_its_numbers"
_AT_THEIR_CURSOR: Final = "test_counters_agree_with_the_log_at_their_cursor_while_others_write"
_LONG_WAIT: Final = "test_a_wait_does_not_end_before_a_record_comes"
_LARGE_RECORDS: Final = "test_large_records_are_read_completely"
_OPAQUE: Final = "test_bytes_are_returned_as_they_were_given_whatever_they_look_like"
_INDEX_ENDS: Final = "test_records_at_the_ends_of_an_index_are_found_by_every_verb"
_OPENS_LATER: Final = "test_a_store_that_opens_later_sees_everything"
_OUTLIVE: Final = "test_leases_and_cursors_outlive_the_store_that_gave_them"
_CLOSE: Final = "test_a_close_ends_the_waits_of_its_store_and_of_no_other"
_EXPIRE_AT_ONCE: Final = "test_many_records_may_expire_at_once"
_DAYS: Final = "test_counters_stay_until_their_day_lies_94_days_back_on_both_clocks"

ALTERED: Final[dict[type[PassingStore], str]] = {
    reads.ReadsTheFirstHundred: "test_get_answers_every_key_of_a_long_list",
    reads.CachesReads: _OTHER_HANDLE,
    reads.CachesCounts: _OTHER_HANDLE,
    reads.CachesTheEndOfTheLog: _OTHER_HANDLE,
    reads.CountsByTheValueAlone: "test_a_count_counts_only_its_own_index",
    reads.CountsTheFirstHundred: "test_every_partition_of_a_long_list_is_counted",
    reads.CountsWithoutCase: _LOOKALIKE_LANE,
    reads.PagesByTheValueAlone: "test_a_page_shows_only_its_own_index",
    reads.PagesOfFiveHundred: "test_a_page_of_a_thousand_shows_all_records",
    reads.NormalisesPages: _LOOKALIKE_LANE,
    reads.TellsNoGapWithoutAnEvent: "test_a_gap_at_the_end_of_the_log_is_reported",
    reads.TellsTheGapAgain: "test_a_gap_at_the_end_of_the_log_is_reported",
    reads.ReadsNoMoreThanAThousandEvents: "test_a_long_log_is_read_completely_with_any_page_size",
    reads.ReadsTheLogInACircle: "test_the_log_keeps_each_subjects_versions_in_order",
    reads.CutsEventBodies: "test_an_events_body_is_kept_to_its_last_byte",
    reads.KeepsOrdinalsIn31Bits: _EVENT_ENDS,
    reads.KeepsEventVersionsAsDoubles: _EVENT_ENDS,
    reads.ReadsTheCursorBeforeTheCounters: _AT_THEIR_CURSOR,
    reads.ReadsTheCursorAfterTheCounters: _AT_THEIR_CURSOR,
    reads.WaitsForTheFirstHundred: "test_the_last_watch_of_a_long_list_wakes",
    reads.WaitsWithoutCase: _LOOKALIKE_LANE,
    reads.LooksAndDoesNotWait: _LONG_WAIT,
    reads.WaitsTooBriefly: "test_a_wait_lasts_as_long_as_its_timeout",
    reads.LooksAgainOnce: _LONG_WAIT,
    answers.GetsAMegabyte: _LARGE_RECORDS,
    answers.PagesOfAMegabyte: _LARGE_RECORDS,
    answers.CountsAMegabyte: _LARGE_RECORDS,
    answers.AnswersClaimsWithAMegabyte: "test_a_claim_of_large_records_is_answered_completely",
    answers.ReadsAMegabyteOfTheLog: "test_large_events_are_read_completely",
    answers.InflatesBodies: _OPAQUE,
    answers.InflatesEvents: _OPAQUE,
    answers.InflatesGrants: "test_a_grant_is_returned_as_it_was_given_whatever_it_looks_like",
    answers.ReadsNumbersFromBodies: _OPAQUE,
    answers.EndsPagesAtTheLastLetter: _INDEX_ENDS,
    answers.TakesAnEmptyBoundForNone: "test_the_bounds_of_a_page_are_exclusive",
    answers.PagesWithoutGrants: "test_a_page_shows_a_held_record_as_get_reads_it",
    answers.TellsEveryEventOfItems: "test_events_of_one_key_in_two_collections_are_different",
    answers.RenewsCollectionByCollection: "test_one_claim_id_in_two_collections_is_two_claims",
    answers.CannotWaitForever: "test_a_wait_without_an_end_is_woken",
    answers.RemembersEmptyLanes: "test_a_handle_claims_from_a_lane_that_it_saw_empty",
    writes.ClaimsFromTwoHundred: _MANY_LANES,
    writes.ClaimsAHundredAtMost: "test_a_long_claim_takes_all_records_and_is_repeated_completely",
    writes.ClaimsByTheFirstIndex: (
        "test_a_claim_by_another_index_takes_by_its_partitions_and_in_its_order"
    ),
    writes.RepeatsByTheFirstIndex: "test_a_repetition_is_in_the_order_of_the_claims_own_index",
    writes.ClaimsWithoutCase: _LOOKALIKE_LANE,
    writes.ClaimsNormalised: _LOOKALIKE_LANE,
    writes.TakesClaimIdsForOne: _LOOKALIKE_CLAIM,
    writes.PadsClaimIds: _LOOKALIKE_CLAIM,
    writes.KeepsNoEmptyGrant: "test_a_grant_is_kept_to_its_last_byte",
    writes.CutsLargeGrants: "test_a_grant_is_kept_to_its_last_byte",
    writes.ClaimsForAYearAtMost: "test_a_claim_and_a_renewal_may_last_for_the_longest_duration",
    writes.TakesCommitIdsForOne: "test_a_commit_with_a_similar_id_is_not_a_repetition",
    writes.PadsCounters: _LOOKALIKE_NAMES,
    writes.NormalisesCounters: _LOOKALIKE_NAMES,
    writes.KeepsAmountsAsDoubles: "test_counters_keep_the_ends_of_their_amounts",
    writes.CountsAHundredIncrements: _LONG_COMMIT,
    writes.TellsAHundredEvents: _LONG_COMMIT,
    writes.TakesZeroForNever: "test_an_expiry_at_the_epoch_means_expired",
    writes.KeepsRetentionAsDoubles: _LARGE,
    writes.CutsLeaseLimits: _LARGE,
    writes.DropsExpiredLeases: "test_a_commit_keeps_a_lease_that_has_expired",
    writes.DeletesLast: "test_a_list_may_create_change_and_delete_one_record",
    writes.AnswersLongListsInPieces: "test_a_list_of_six_hundred_commits_is_answered_in_order",
    writes.RenewsTheFirstHundred: "test_every_renewal_of_a_long_list_is_answered",
    writes.RenewsInTheOrderGiven: (
        "test_renewals_of_the_same_leases_in_opposite_orders_all_succeed"
    ),
    writes.StopsAtTheFirstStranger: "test_renewals_are_answered_in_the_order_given",
}

ENGINES: Final[dict[type[MemoryBackend], str]] = {
    engines.ClaimsInUTF16Order: "test_a_claim_takes_in_the_order_of_code_points",
    engines.ClaimsWithoutCaseInOrder: "test_a_claim_takes_in_the_order_of_code_points",
    engines.ClaimsByTheValueAlone: "test_a_claim_takes_only_from_its_own_index",
    engines.ClaimsTwiceAtOnce: "test_a_claim_that_is_made_several_times_at_once_is_one_claim",
    engines.ClaimIdsOfAllCollections: "test_one_claim_id_in_two_collections_is_two_claims",
    engines.KeepsTheFirstGrant: "test_a_claim_over_a_lease_gives_the_record_a_new_lease",
    engines.MovesEveryDueDate: "test_a_renewal_leaves_a_deadline_that_a_commit_has_set",
    engines.ForgetsItsUncertainty: "test_a_guard_adds_the_uncertainty_of_the_clock",
    engines.VersionsOfEachHandle: (
        "test_a_record_that_other_handles_recreate_never_has_a_version_twice"
    ),
    engines.WakesItsOwnHandle: "test_a_claim_by_another_store_wakes_a_waiter",
    engines.WakesByCommitsAlone: "test_a_claim_that_moves_a_record_wakes_a_waiter",
    handles.KnowsClaimsSinceItsOpening: (
        "test_a_store_that_opens_later_repeats_claims_and_renews_leases"
    ),
    handles.KnowsCommitsSinceItsOpening: _OPENS_LATER,
    handles.CountsFromItsOpening: _OPENS_LATER,
    handles.EndsCursorsWithTheirHandle: _OUTLIVE,
    handles.ReleasesLeasesAtItsClose: _OUTLIVE,
    handles.WaitsOnWhenItIsClosed: _CLOSE,
    handles.EndsEveryWaitAtAClose: _CLOSE,
    handles.TellsNothingBesideARepetition: (
        "test_a_repetition_in_a_list_leaves_the_new_commits_beside_it_whole"
    ),
    handles.RefusesARepetitionUnderWay: (
        "test_a_commit_that_is_made_several_times_at_once_is_one_commit"
    ),
    handles.DeletesAgainWhenRepeated: (
        "test_a_repeated_commit_leaves_a_record_that_took_the_place_of_its_deleted_one"
    ),
    handles.RecognisesWhatHasExpired: (
        "test_a_commit_is_not_recognised_by_a_record_that_has_expired"
    ),
    handles.SharesAnswersByTheClaimId: (
        "test_claims_with_one_id_in_two_collections_at_once_are_two_claims"
    ),
    handles.DeletesWhatHasExpired: "test_an_expired_record_cannot_be_deleted",
    ends.ClaimsUpToTheLastLetter: _INDEX_ENDS,
    ends.RemembersTheLastVersionAlone: (
        "test_records_removed_in_any_order_never_have_a_version_twice"
    ),
    ends.PagesFromTheLastRecord: "test_a_page_follows_one_whose_last_record_has_gone",
    ends.PagesCountExpiredRecords: _EXPIRE_AT_ONCE,
    ends.LooksAtTheFirstRecordAlone: _EXPIRE_AT_ONCE,
    ends.TellsNoGapToWhoBeganEarly: (
        "test_a_gap_is_reported_to_a_reader_that_began_before_the_first_event"
    ),
    ends.LosesTheTurnOfACancelledWait: "test_a_cancelled_wait_passes_its_turn_on",
    keeping.KeepsEveryEvent: "test_events_are_removed_after_their_retention_and_leave_a_gap",
    keeping.DropsDaysByTheSteadyClock: _DAYS,
    keeping.DropsDaysByTheCalendar: _DAYS,
    keeping.DropsDaysADayEarly: _DAYS,
    keeping.FailsWhereADayIsOver: _DAYS,
    keeping.ForgetsWhoWaitsBeside: "test_a_wait_that_ends_does_not_affect_others",
    keeping.WaitsForWhatStaysAlone: "test_a_record_that_will_expire_wakes_a_waiter",
    keeping.ClaimsWhatStaysAlone: (
        "test_a_record_that_will_expire_is_there_in_every_verb_until_then"
    ),
    keeping.MovesTheDueDateOfAnother: (
        "test_a_renewal_leaves_everything_but_the_expiry_and_the_sign_of_life"
    ),
    keeping.RepeatsWithoutASortValue: (
        "test_a_repeated_claim_answers_records_without_the_sort_attribute_first"
    ),
    keeping.NamesNoCursor: "test_a_foreign_cursor_is_refused",
    keeping.ForgetsVersionsThatRanAhead: (
        "test_an_expired_record_ahead_of_the_clock_never_has_a_version_twice"
    ),
    keeping.WakesByTheKey: "test_a_watch_looks_only_above_its_bound",
    keeping.ShowsWhatIsHalfInAnIndex: (
        "test_a_record_without_the_sort_attribute_is_not_in_the_index"
    ),
}
