"""The commits that a record lists: the first one, and the newest."""

from __future__ import annotations

import json

import pytest

from cicd_core.errors import CorruptRecord
from cicd_core.ids import IdSource
from cicd_core.persistence.codec import LANE_DIRECTORY
from cicd_core.queueing.lanes import LaneDirectory
from cicd_core.store.own_commits import KEPT, holds_commit, with_commit


def test_list_keeps_the_first_commit_and_the_newest() -> None:
    made = [IdSource(seed=1).commit_id()]
    ids = IdSource(seed=2)
    made += [ids.commit_id() for _ in range(20)]
    commits = ""
    for commit_id in made:
        commits = with_commit(commits, commit_id)
        assert holds_commit(commits, commit_id)
        assert holds_commit(commits, made[0])
    kept = [commit_id for commit_id in made if holds_commit(commits, commit_id)]
    assert kept == [made[0], *made[-(KEPT - 1) :]]


def test_commit_is_not_found_across_the_border_of_two_others() -> None:
    commits = with_commit(with_commit("", "a" * 6 + "b" * 18), "b" * 6 + "c" * 18)
    assert not holds_commit(commits, "b" * 24)


def test_body_gives_its_commits_back_and_no_unknown_field() -> None:
    body = LANE_DIRECTORY.encode(LaneDirectory("p"), commits="0123456789ab")
    decoded = LANE_DIRECTORY.decode("p", body)
    assert (decoded.commits, decoded.unknown) == ("0123456789ab", {})


def test_commits_that_are_no_text_are_a_corrupt_record() -> None:
    body = json.dumps({"v": 1, "pool_name": "p", "c": ["0123456789ab"]}).encode()
    with pytest.raises(CorruptRecord, match="not a list of commits"):
        LANE_DIRECTORY.decode("p", body)
