"""Checks of the fields that deployments, agents, pools and sessions share."""

from __future__ import annotations

from collections.abc import Mapping

from cicd_core.errors import InvalidInput, TooLarge
from cicd_core.model.checks import (
    MAX_BODY_BYTES,
    MAX_REASON,
    check_bytes,
    check_name,
    check_text,
    json_size,
    kept_text,
)

#: The most bytes of a version, a host name, a user's id, or of who asked for something.
MAX_LABEL = 256


def check_label(field: str, value: str) -> str:
    """Return ``value``, a short text that is not empty: a version, a host name, a user's id.

    Raises:
        InvalidInput: it is empty, no string, or holds a NUL or a lone surrogate.
        TooLarge: it takes more than 256 bytes of JSON.
    """
    if check_text(field, value, most=MAX_LABEL) == "":
        raise InvalidInput(field, value, f"give 1 to {MAX_LABEL} characters")
    return check_bytes(field, value, most=MAX_LABEL)


def check_optional_label(field: str, value: str | None) -> str | None:
    """Return ``value``, None or what :func:`check_label` takes; it raises the same."""
    return None if value is None else check_label(field, value)


def check_optional_name(field: str, value: str | None) -> str | None:
    """Return ``value``, None or a name of ours.

    Raises:
        InvalidInput: it is not 1 to 128 of the characters ``A-Z a-z 0-9 . _ : / -``.
    """
    return None if value is None else check_name(field, value)


def check_number(field: str, value: float, *, least: float, most: float) -> float:
    """Return ``value``, a number, perhaps with a fraction.

    Raises:
        InvalidInput: it is no number, or outside ``least`` to ``most``.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not least <= value <= most:  # NaN is outside of everything
        raise InvalidInput(field, value, f"give a number from {least:g} to {most:g}")
    return value


def check_reason(field: str, value: str, *, most: int = MAX_REASON) -> str:
    """Return the last ``most`` bytes of ``value``: why something was done, for people.

    It may come from a machine: characters that not every store can keep become question marks.

    Raises:
        InvalidInput: it is empty, or no string.
    """
    if not isinstance(value, str) or not value:
        raise InvalidInput(field, value, "say why, in at least one character")
    return kept_text(field, value, most=most, empty=value)


def check_metadata(values: Mapping[str, str]) -> dict[str, str]:
    """Return a copy of the metadata, sorted by its names.

    Raises:
        InvalidInput: it is no mapping of strings to strings, or holds what not every store can
            keep; the error names the entry.
        TooLarge: a name has more than 128 characters, a value more than 1,024, or all of it is
            over 256 KiB of JSON.
    """
    if not isinstance(values, Mapping):
        raise InvalidInput("metadata", values, "give a mapping of strings to strings")
    for name, value in values.items():
        check_text("metadata", name, most=128)
        check_text(f"metadata[{name!r}]", value)
    check_together("metadata", values)
    return dict(sorted(values.items()))


def check_together(field: str, *parts: object, besides: int = 0) -> None:
    """Check that what a caller puts into an entity fits into its body, all of it together.

    Counted as JSON: what is said of the entity later has its own room in the record. ``besides``
    are bytes that were counted already.

    Raises:
        TooLarge: it is over 256 KiB; the error names ``field``.
    """
    size = besides + sum(json_size(part) for part in parts if part)
    if size > MAX_BODY_BYTES:
        raise TooLarge(field, size, MAX_BODY_BYTES)
