"""Faults in the SQL of the SQLite store."""

from __future__ import annotations

from typing import Final

from tests.mutation.faults import Engine, Fault

_PACKAGE: Final = "cicd_core/store/sqlite"
_TABLES: Final = f"{_PACKAGE}/tables.py"
_BATCH: Final = f"{_PACKAGE}/batch.py"
_LOG: Final = f"{_PACKAGE}/log.py"
_RETENTION: Final = f"{_PACKAGE}/retention.py"
_READS: Final = f"{_PACKAGE}/reads.py"
_APART: Final = "test_namespaces_do_not_see_each_other"

#: The beginning of what a claim takes from.
_SMALLEST: Final = (
    'f"FROM {self.name} WHERE ns = ? AND {column(index.partition)} = ? "\n'
    '            f"AND {sort} IS NOT NULL AND {_LIVE} ORDER'
)
#: The end of a page's place.
_PAGE: Final = 'f"AND {column(index.partition)} = ? AND {sort} IS NOT NULL AND {_LIVE}{after}'
#: The end of the query for expired attributes.
_EXPIRED: Final = (
    'f"WHERE ns = ? AND expires_at <= ? ORDER BY expires_at LIMIT ?"\n        )\n\n    def by_key'
)

FAULTS: Final = (
    Fault(
        "get reads all namespaces",
        _TABLES,
        "WHERE ns = ? AND key IN",
        "WHERE (ns = ? OR 1) AND key IN",
        _APART,
    ),
    Fault(
        "a claim id holds in all namespaces",
        _TABLES,
        "WHERE ns = ? AND lease_claim IN",
        "WHERE (ns = ? OR 1) AND lease_claim IN",
        "test_the_same_ids_in_two_namespaces_are_different",
    ),
    Fault(
        "a claim takes from all namespaces",
        _TABLES,
        _SMALLEST,
        _SMALLEST.replace("ns = ?", "(ns = ? OR 1)"),
        _APART,
    ),
    Fault(
        "a page shows all namespaces",
        _TABLES,
        'FROM {self.name} WHERE ns = ? "\n            f"AND {column(index.partition)} = ?',
        'FROM {self.name} WHERE (ns = ? OR 1) "\n            f"AND {column(index.partition)} = ?',
        _APART,
    ),
    Fault(
        "a watch sees all namespaces",
        _TABLES,
        'f"SELECT 1 FROM {self.name} WHERE ns = ? AND',
        'f"SELECT 1 FROM {self.name} WHERE (ns = ? OR 1) AND',
        _APART,
    ),
    Fault(
        "counters of all namespaces are one",
        _LOG,
        "FROM counters WHERE ns = ? AND name >= ?",
        "FROM counters WHERE (ns = ? OR 1) AND name >= ?",
        _APART,
    ),
    Fault(
        "counts of all namespaces are one",
        _READS,
        '"WHERE ns = ? AND collection = ?',
        '"WHERE (ns = ? OR 1) AND collection = ?',
        _APART,
    ),
    Fault(
        "a record lives for its last microsecond and the next",
        _TABLES,
        "OR expires_at > ?)",
        "OR expires_at >= ?)",
        "test_an_expired_record_is_on_no_page",
    ),
    Fault(
        "what will expire is gone already",
        _TABLES,
        '"(expires_at IS NULL OR expires_at > ?)"',
        '"(expires_at IS NULL OR expires_at < ?)"',
        "test_a_record_that_will_expire_is_there_in_every_verb_until_then",
    ),
    Fault(
        "retention drops an hour early",
        _TABLES,
        "length(body) FROM {self.name} WHERE ns = ? AND expires_at <= ? ",
        "length(body) FROM {self.name} WHERE ns = ? AND expires_at <= ? + 3600000000 ",
        "test_counts_follow_retention",
    ),
    Fault(
        "keys without case",
        _TABLES,
        "AND key IN ({marks})",
        "AND key COLLATE NOCASE IN ({marks})",
        "test_similar_keys_are_different_records",
    ),
    Fault(
        "partitions without case on pages",
        _TABLES,
        _PAGE,
        _PAGE.replace("= ? AND", "= ? COLLATE NOCASE AND", 1),
        "test_a_partition_with_a_similar_value_is_empty",
    ),
    Fault(
        "partitions without case in counts",
        _READS,
        'AND index_name = ? AND value = ?",',
        'AND index_name = ? AND value = ? COLLATE NOCASE",',
        "test_a_partition_with_a_similar_value_is_empty",
    ),
    Fault(
        "a page in the order of letters without case",
        _TABLES,
        "f\"ORDER BY {sort} {'DESC'",
        "f\"ORDER BY {sort} COLLATE NOCASE {'DESC'",
        "test_sort_values_are_compared_by_code_points",
    ),
    Fault(
        "a page goes one way",
        _TABLES,
        "{'DESC' if query.descending else 'ASC'}",
        "ASC",
        "test_a_page_may_be_in_descending_order",
    ),
    Fault(
        "a page begins with its bound",
        _TABLES,
        'f" AND {sort} > ?"\n        before',
        'f" AND {sort} >= ?"\n        before',
        "test_the_bounds_of_a_page_are_exclusive",
    ),
    Fault(
        "a page ends with its bound",
        _TABLES,
        'f" AND {sort} < ?"',
        'f" AND {sort} <= ?"',
        "test_the_bounds_of_a_page_are_exclusive",
    ),
    Fault(
        "a page shows what is half in an index",
        _TABLES,
        "AND {sort} IS NOT NULL AND {_LIVE}{after}",
        "AND {_LIVE}{after}",
        "test_a_record_without_the_sort_attribute_is_not_in_the_index",
    ),
    Fault(
        "a claim takes what is half in an index",
        _TABLES,
        'f"AND {sort} IS NOT NULL AND {_LIVE} ORDER BY',
        'f"AND {_LIVE} ORDER BY',
        "test_a_record_without_the_sort_attribute_is_not_in_the_index",
    ),
    Fault(
        "a watch sees what is half in an index",
        _TABLES,
        'f"AND {sort} IS NOT NULL AND {_LIVE}{above}',
        'f"AND {_LIVE}{above}',
        "test_a_record_without_the_sort_attribute_is_not_in_the_index",
    ),
    Fault(
        "a watch sees its bound",
        _TABLES,
        'above = f" AND {sort} > ?"',
        'above = f" AND {sort} >= ?"',
        "test_a_watch_looks_only_above_its_bound",
    ),
    Fault(
        "a claim takes the oldest row",
        _TABLES,
        "AND {_LIVE} ORDER BY {sort} LIMIT ?",
        "AND {_LIVE} ORDER BY id LIMIT ?",
        "test_a_claim_takes_the_smallest_of_its_partition",
    ),
    Fault(
        "a claim takes the first of some partitions",
        _TABLES,
        "FROM ({arms}) ORDER BY sort LIMIT ?)",
        "FROM ({arms}) LIMIT ?)",
        "test_a_claim_takes_the_smallest_over_all_of_its_partitions",
    ),
    Fault(
        "an update changes later rows too",
        _TABLES,
        "SET {settings} WHERE id = ?",
        "SET {settings} WHERE id >= ?",
        "test_a_write_to_one_record_leaves_all_others_unchanged",
    ),
    Fault(
        "a delete takes later rows too",
        _TABLES,
        'f"DELETE FROM {self.name} WHERE id = ?"',
        'f"DELETE FROM {self.name} WHERE id >= ?"',
        "test_a_write_to_one_record_leaves_all_others_unchanged",
    ),
    Fault(
        "the log backwards",
        _LOG,
        'ORDER BY id LIMIT ?",\n        (first + begin',
        'ORDER BY id DESC LIMIT ?",\n        (first + begin',
        "test_the_log_keeps_each_subjects_versions_in_order",
    ),
    Fault(
        "a prefix has no end",
        _LOG,
        '" AND name < ?"',
        '" OR name < ?"',
        "test_a_prefix_is_compared_letter_by_letter",
    ),
    Fault(
        "retention drops every namespace's log",
        _RETENTION,
        "DELETE FROM log WHERE id > ? AND id <= ?",
        "DELETE FROM log WHERE id > ? OR id <= ?",
        "test_retention_drops_only_the_log_of_its_own_namespace",
    ),
    Fault(
        "a gap is not said",
        _RETENTION,
        "UPDATE namespaces SET log_dropped = ? WHERE id = ?",
        "UPDATE namespaces SET log_dropped = 0 * ? WHERE id = ?",
        "test_events_are_removed_after_their_retention_and_leave_a_gap",
    ),
    Fault(
        "an increment replaces the sum",
        _BATCH,
        "SET value = value + excluded.value",
        "SET value = excluded.value",
        "test_increments_add_up",
    ),
    Fault(
        "a count is the last change",
        _BATCH,
        "SET number = number + excluded.number",
        "SET number = excluded.number",
        "test_counts_follow_puts_moves_and_deletes",
    ),
    Fault(
        "a count forgets the last record",
        _BATCH,
        '"AND number = 0"',
        '"AND number <= 1"',
        "test_counts_follow_puts_moves_and_deletes",
    ),
    Fault(
        "versions that went are forgotten",
        _BATCH,
        "SET log_end = ?, version_floor = ? WHERE",
        "SET log_end = ?, version_floor = 0 * ? WHERE",
        "test_a_recreated_record_never_has_a_version_twice",
    ),
    Fault(
        "a count counts every index",
        _READS,
        "AND index_name = ? AND",
        "AND (index_name = ? OR 1) AND",
        "test_a_count_counts_only_its_own_index",
    ),
    Fault(
        "what expires now is counted",
        _TABLES,
        _EXPIRED,
        _EXPIRED.replace("<=", "<"),
        "test_an_expired_record_is_not_counted",
    ),
)

SQLITE: Final = Engine(
    package="cicd_core",
    tests=(
        "tests/conformance/test_sqlite.py",
        "tests/conformance/test_histories.py::TestSQLiteHistories",
    ),
    faults=FAULTS,
)
