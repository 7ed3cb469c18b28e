"""Changes of several entities, whose commits go to the store in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from cicd_core.errors import CicdError, InvalidInput
from cicd_core.model.instants import from_micros
from cicd_core.store.records import Committed
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from cicd_core.lifecycle.decision import Decision
    from cicd_core.persistence.context import Context
    from cicd_core.persistence.grants import Loaded
    from cicd_core.persistence.repository import Repository
    from cicd_core.store.records import Commit, Conflict, StoreTime

Entity = TypeVar("Entity")


class Change(NamedTuple, Generic[Entity]):
    """One change; the fields are the arguments of ``Repository.change``."""

    key: str
    decide: Callable[[Entity, datetime, int], Decision[Entity]]
    before: Loaded[Entity] | None = None


@frozen
class _Draft(Generic[Entity]):
    """A decision, and the commit that carries it out."""

    before: Loaded[Entity]
    decision: Decision[Entity]
    commit: Commit


async def change_each(
    context: Context, repository: Repository[Entity], changes: Sequence[Change[Entity]]
) -> list[Loaded[Entity] | CicdError]:
    """Decide and commit each change; an error affects only its own change.

    The first commits go to the store as one list, in the order given. A change that conflicts, is
    refused or has nothing to do is made again by itself, from the present record.

    Returns:
        For each change, in the order given, the entity after it, or its error: one of those of
        ``Repository.change``.

    Raises:
        StoreError: the store failed; whether changes took effect is unknown.

    Cost: two round trips, one if each change has its ``before``; more for those made again.
    """
    time = await context.store.now()
    loaded = await _loaded(repository, changes)
    drafts = [
        await _draft(repository, change, before, time)
        for change, before in zip(changes, loaded, strict=True)
    ]
    answers = await _committed(context, [draft.commit for draft in drafts if draft is not None])
    found: list[Loaded[Entity] | CicdError] = []
    for change, draft in zip(changes, drafts, strict=True):
        answer = None if draft is None else answers.get(draft.commit.commit_id)
        if draft is not None and isinstance(answer, Committed):
            after = repository.after(draft.before, draft.decision, draft.commit, answer)
            found.append(after)
        else:
            tried = None if draft is None else draft.commit
            found.append(await _alone(repository, change, tried))
    return found


async def _loaded(
    repository: Repository[Entity], changes: Sequence[Change[Entity]]
) -> list[Loaded[Entity] | None]:
    """Return what each change is decided on; None: it is missing, or does not decode."""
    keys = dict.fromkeys(change.key for change in changes if change.before is None)
    read = await repository.get_readable([*keys])
    return [read.get(change.key) if change.before is None else change.before for change in changes]


async def _draft(
    repository: Repository[Entity],
    change: Change[Entity],
    before: Loaded[Entity] | None,
    time: StoreTime,
) -> _Draft[Entity] | None:
    """Return the decision and its commit; None: the change is made by itself."""
    if before is None:
        return None
    try:
        decision = change.decide(before.value, from_micros(time.calendar), time.micros)
        if not decision.changed:
            return None
        await repository.prepare(decision.value)
    except CicdError:  # raised again when it is made by itself
        return None
    return _Draft(before, decision, repository.commit_of(before, decision, time=time))


async def _committed(
    context: Context, commits: Sequence[Commit]
) -> dict[str, Committed | Conflict]:
    """Return the answers by commit id; none if one commit is over a limit, which refuses all."""
    if not commits:
        return {}
    try:
        answers = await context.store.commit(commits)
    except InvalidInput:
        return {}
    return {commit.commit_id: answer for commit, answer in zip(commits, answers, strict=True)}


async def _alone(
    repository: Repository[Entity], change: Change[Entity], tried: Commit | None
) -> Loaded[Any] | CicdError:
    try:
        return await repository.change(change.key, change.decide, tried=tried)
    except CicdError as refused:
        return refused
