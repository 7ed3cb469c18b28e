"""The list of commits in a record's body, by which a caller recognises its own earlier commit.

A store recognises a repeated commit by the id in the record, which is the id of the last commit. If
an answer was lost, and others wrote before the repetition, the record has another id. So each body
lists the first commit and the newest ones before its own. After a conflict, the caller looks there
before it concludes that its commit did nothing (I6).

The list is one string with twelve hexadecimal digits per commit: 48 of an id's 96 random bits,
compared only with the eight ids of one record.
"""

from __future__ import annotations

from typing import Final

_DIGITS: Final = 12
#: The number of commits in one record's list, including the first one.
KEPT: Final = 8


def with_commit(commits: str, commit_id: str) -> str:
    """Return the list with one more commit: it keeps the first one and the newest ones."""
    if len(commits) >= KEPT * _DIGITS:
        commits = commits[:_DIGITS] + commits[2 * _DIGITS :]
    return commits + commit_id[:_DIGITS]


def holds_commit(commits: str, commit_id: str) -> bool:
    """Return whether the list has the commit."""
    wanted = commit_id[:_DIGITS]
    return any(
        commits[first : first + _DIGITS] == wanted for first in range(0, len(commits), _DIGITS)
    )
