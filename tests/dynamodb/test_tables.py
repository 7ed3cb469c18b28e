"""Which tables there are: named as the collections and indexes are, and as narrow as may be."""

from __future__ import annotations

from cicd_core.entities import COLLECTIONS
from cicd_core.persistence.collections import JOBS
from cicd_core.testing.samples import ITEMS
from cicd_core_dynamodb.tables import JOURNAL, hot_partitions, tables_of

TABLES = {table.name: table for table in tables_of(COLLECTIONS)}


def test_there_is_a_table_a_collection_and_one_for_all_that_is_no_record() -> None:
    assert set(TABLES) == {each.name for each in COLLECTIONS} | {"journal"}


def test_indexes_are_named_after_their_attributes() -> None:
    assert {index.name for index in TABLES["jobs"].indexes} == {
        "lane-rank-index",
        "status-created_at-index",
        "agent_id-created_at-index",
        "timer-due-index",
        "dead_letter-created_at-index",
    }


def test_a_definition_is_what_dynamodb_takes() -> None:
    definition = TABLES["jobs"].definition("ci-")
    assert definition["TableName"] == "ci-jobs"
    assert definition["BillingMode"] == "PAY_PER_REQUEST"
    assert definition["KeySchema"] == [{"AttributeName": "K", "KeyType": "HASH"}]
    defined = {each["AttributeName"] for each in definition["AttributeDefinitions"]}
    used = {"K"} | {
        key["AttributeName"]
        for index in definition["GlobalSecondaryIndexes"]
        for key in index["KeySchema"]
    }
    assert defined == used  # one that no key uses is refused


def test_the_journal_has_no_index() -> None:
    assert "GlobalSecondaryIndexes" not in JOURNAL.definition("ci-")


def test_an_index_that_a_job_stays_in_while_it_changes_holds_keys_alone() -> None:
    projected = {index.name: index.projected for index in TABLES["jobs"].indexes}
    assert projected["agent_id-created_at-index"] == ()
    assert projected["lane-rank-index"] == ("X", "HM")


def test_busy_partitions_are_split_and_others_are_not() -> None:
    assert hot_partitions(JOBS) == {"lane", "pool_status", "status", "timer"}
    assert hot_partitions(ITEMS) == {"lane", "state", "timer"}
    assert all(not hot_partitions(each) for each in COLLECTIONS if each.name != "jobs")
