"""Which commits a record holds: what lets a caller recognise its own one after others wrote too.

A store recognises a repeated commit by the id that the record holds, which is the last one's. When
an answer was lost and others wrote before the repetition, that is another's id. So each body lists
its first commit and the newest ones, and whoever meets a conflict looks there before it concludes
that its commit did nothing (I6).

They are written as one string, twelve hexadecimal digits a commit: 48 of an id's 96 random bits,
compared with the eight of one record only.
"""

from __future__ import annotations

from typing import Final

_DIGITS: Final = 12
#: How many commits one record lists, the first one among them.
KEPT: Final = 8


def with_commit(commits: str, commit_id: str) -> str:
    """Return the list with one more commit: the first one stays, and the newest ones."""
    if len(commits) >= KEPT * _DIGITS:
        commits = commits[:_DIGITS] + commits[2 * _DIGITS :]
    return commits + commit_id[:_DIGITS]


def holds_commit(commits: str, commit_id: str) -> bool:
    """Return whether the list has the commit."""
    wanted = commit_id[:_DIGITS]
    return any(
        commits[first : first + _DIGITS] == wanted for first in range(0, len(commits), _DIGITS)
    )
