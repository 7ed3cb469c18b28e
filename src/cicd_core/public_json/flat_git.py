"""Flat git fields, as the dashboard's callers write and read them.

A checkout needs a repository and a full commit. If both are given they become the job's git
context; fields that do not fit stay in the metadata, under their names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core.model.checks import check_label, check_text
from cicd_core.model.git import GitContext, check_ref, check_repository, is_commit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cicd_core.model.deployment import Deployment
    from cicd_core.model.job import Job

_REPO: Final = "git_repo"
_REF: Final = "git_ref"
_COMMIT: Final = "git_commit_sha"
_MESSAGE: Final = "git_commit_message"
_AUTHOR: Final = "git_author"


def checked_fields(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the git fields that a request sets.

    Args:
        fields: some of ``git_repo``, ``git_ref``, ``git_commit_sha``, ``git_commit_message`` and
            ``git_author``; the ref and the message may be empty.

    Raises:
        InvalidInput: one is empty, or not a git field; the error names it.
        TooLarge: one is over its limit.
    """
    for name in (_COMMIT, _AUTHOR):
        check_label(name, fields[name])
    check_text(_MESSAGE, fields[_MESSAGE], most=8192)
    if _REPO in fields:
        check_repository(_REPO, fields[_REPO])
    if fields.get(_REF):
        check_ref(_REF, fields[_REF])
    return {name: text for name, text in fields.items() if text}


def context_of(fields: Mapping[str, str]) -> GitContext | None:
    """Return the git context of checked fields; None: they do not name a full commit."""
    if _REPO not in fields or not is_commit(fields[_COMMIT]):
        return None
    return GitContext(
        repo=fields[_REPO],
        ref=fields.get(_REF),
        commit_sha=fields[_COMMIT],
        commit_message=fields.get(_MESSAGE),
        author=fields[_AUTHOR],
    )


def flat_fields(entity: Job | Deployment) -> dict[str, str | None]:
    """Return the git fields of an entity, from both places; None for unknown ones."""
    git = entity.git
    kept: Mapping[str, str | None] = entity.metadata
    if git is not None:
        kept = {
            _REPO: git.repo,
            _REF: git.ref,
            _COMMIT: git.pinned,
            _MESSAGE: git.commit_message,
            _AUTHOR: git.author,
        }
    return {name: kept.get(name) for name in (_REPO, _REF, _COMMIT, _MESSAGE, _AUTHOR)}
