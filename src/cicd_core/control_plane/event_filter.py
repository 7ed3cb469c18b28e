"""Filters for readers of the log."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import cast

from cicd_core.entities import MAPPINGS
from cicd_core.errors import InvalidInput
from cicd_core.model.checks import NAME_PATTERN
from cicd_core.model.event import Event, UnreadableEvent
from cicd_core.model.event_types import check_event_type
from cicd_core.model.job import RESTING_STATES
from cicd_core.values import frozen


@frozen
class Wanted:
    """Matches the events of one subject, or of some types; None matches all."""

    subject: tuple[str, str] | None
    types: tuple[str, ...] | None

    @classmethod
    def checked(cls, subject: object, types: object) -> Wanted:
        """Return the filter with checked fields.

        Raises:
            InvalidInput: the subject is not a collection and key, or a type is not a text.
        """
        return cls(_checked_subject(subject), _checked_types(types))

    @property
    def job_id(self) -> str | None:
        """The job to match; None: another subject, or all."""
        return self.subject[1] if self.subject is not None and self.subject[0] == "jobs" else None

    def has(self, entry: Event | UnreadableEvent) -> bool:
        """Return whether an entry matches; an unreadable one may be of any type."""
        if self.subject is not None and entry.subject != self.subject:
            return False
        if self.types is None or isinstance(entry, UnreadableEvent):
            return True
        return any(fnmatchcase(entry.type, pattern) for pattern in self.types)

    def may_rest(self, entry: Event | UnreadableEvent) -> bool:
        """Return whether the entry may mean that the job has ended."""
        if self.job_id is None or entry.subject != self.subject:
            return False
        return isinstance(entry, UnreadableEvent) or entry.data.get("to") in RESTING_STATES


def _checked_subject(subject: object) -> tuple[str, str] | None:
    match subject:
        case None:
            return None
        case (str() as collection, str() as key) if _is_name(collection) and _is_name(key):
            _check_collection(subject, collection)
            return collection, key
        case _:
            reason = "give a collection and a key, such as ('jobs', job_id)"
            raise InvalidInput("subject", subject, reason)


def _check_collection(subject: object, collection: str) -> None:
    """Refuse a collection without events, for which a reader would wait forever.

    Raises:
        InvalidInput: there is no such collection; the error lists the existing ones.
    """
    names = [mapping.collection.name for mapping in MAPPINGS]
    if collection not in names:
        reason = f"there is no collection {collection!r}: give one of {', '.join(names)}, and a key"
        raise InvalidInput("subject", subject, reason)


def _is_name(text: str) -> bool:
    return NAME_PATTERN.fullmatch(text) is not None


def _checked_types(types: object) -> tuple[str, ...] | None:
    if types is None:
        return None
    if isinstance(types, str) or not isinstance(types, Iterable):
        raise InvalidInput("types", types, "give a list of types, such as ['job.*']")
    given = tuple(cast("Iterable[object]", types))
    if not given:
        raise InvalidInput("types", given, "give at least one type, or None for all")
    return tuple(
        check_event_type(f"types[{position}]", pattern) for position, pattern in enumerate(given)
    )
