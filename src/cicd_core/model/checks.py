"""Checks of fields at the edge; each error names its field."""

from __future__ import annotations

import errno
import json
import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Final

from cicd_core.errors import InvalidCursor, InvalidInput, TooLarge

#: Pool names, labels, job types, agent ids, service names. Names stand in paths of URLs, where
#: ``.`` and ``..`` alone are steps, even percent-encoded.
NAME_PATTERN = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._:/-]{1,128}")
#: Characters that not every store can keep: NUL and lone surrogates.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
#: The most labels or tags that one entity may have.
MAX_NAMES = 16
#: The most job types of one agent: a pool has no more lanes than that.
MAX_JOB_TYPES = 256
#: The most bytes of JSON that callers may put into an entity when it is created: payload,
#: metadata, git context, tags and labels together.
MAX_BODY_BYTES = 256 * 1024
#: The most bytes kept of an error message or a progress message, of a summary of logs, and of a
#: reason: counted as JSON, without its quotation marks.
MAX_MESSAGE = 4096
MAX_SUMMARY = 16384
MAX_REASON = 1024
#: The most bytes of a version, a host name, a user's id, or of an actor.
MAX_LABEL = 256

#: The longest duration, in seconds, where no other bound is named: ten years. Now plus twice as
#: much is an instant that every store can hold.
MAX_SECONDS = 3650 * 86400.0

#: The errors of the system by which a path is wrong, whatever the state of the disk.
NEVER_A_PATH: Final = frozenset(
    {errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EINVAL}
)

#: As the codec writes: characters outside ASCII stay as they are, in UTF-8.
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
#: The most bytes of JSON that one character takes: the six of ``\\u001b``.
_WIDEST: Final = 6
#: Replaces the omitted part of a text.
_LEFT_OUT: Final = "…"
_LEFT_OUT_BYTES: Final = len(_LEFT_OUT.encode())


def check_name(field: str, value: object) -> str:
    """Return ``value``, a name.

    Raises:
        InvalidInput: it is not 1 to 128 of the characters ``A-Z a-z 0-9 . _ : / -``, or it is ``.``
            or ``..``.
    """
    if not isinstance(value, str) or not NAME_PATTERN.fullmatch(value):
        check_no_step(field, value)
        raise InvalidInput(field, value, "give 1 to 128 characters of A-Z a-z 0-9 . _ : / -")
    return value


def check_no_step(field: str, value: object) -> None:
    """Refuse what a browser takes for a step in the path of a URL, even percent-encoded.

    Raises:
        InvalidInput: it is ``.`` or ``..``.
    """
    if value in (".", ".."):
        raise InvalidInput(field, value, "it is a step in the path of a URL: give another name")


def check_kind(field: str, value: object, *kinds: type) -> None:
    """Check that a value is of one of the allowed classes.

    Raises:
        InvalidInput: it is of another class.
    """
    if not isinstance(value, kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise InvalidInput(field, value, f"give a value of type {names}")


def check_names(field: str, values: Iterable[str], *, most: int = MAX_NAMES) -> tuple[str, ...]:
    """Return the names sorted, without repetition.

    Raises:
        InvalidInput: it is not a list, or one is not a name; the error gives its position.
        TooLarge: there are more than ``most``.
    """
    if isinstance(values, str) or not isinstance(values, (tuple, Iterable)):
        raise InvalidInput(field, values, "give a list of names")
    names = tuple(values)
    if not names:
        return ()
    for position, name in enumerate(names):
        check_name(f"{field}[{position}]", name)
    distinct = tuple(sorted(set(names)))
    if len(distinct) > most:
        raise TooLarge(field, len(distinct), most, "names")
    return distinct


def check_seconds(
    field: str, value: object, *, least: float = 0.0, most: float = MAX_SECONDS
) -> float:
    """Return ``value``, a duration in seconds.

    Raises:
        InvalidInput: it is not a number, not finite, or outside ``least`` to ``most``.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not _is_finite(value):
        raise InvalidInput(field, value, "give a finite number of seconds")
    if not least <= value <= most:
        reason = f"give at least {least:g} and at most {most:.12g} seconds"
        raise InvalidInput(field, value, reason)
    return float(value)


def check_cursor(cursor: object) -> str:
    """Return ``cursor``, the cursor of a page.

    Raises:
        InvalidCursor: it is not a text.
    """
    if not isinstance(cursor, str):
        raise InvalidCursor(cursor, "give the cursor of a page, unchanged")
    return cursor


def check_integer(field: str, value: object, *, least: int, most: int) -> int:
    """Return ``value``, a whole number.

    Raises:
        InvalidInput: it is not a whole number, or outside ``least`` to ``most``.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidInput(field, value, f"give a whole number from {least} to {most}")
    return value


def check_text(field: str, value: object, *, most: int = 1024) -> str:
    """Return ``value``, a text for people.

    Raises:
        InvalidInput: it is not a string, or contains a NUL or a lone surrogate, which not every
            store can keep.
        TooLarge: it has more than ``most`` characters.
    """
    if not isinstance(value, str):
        raise InvalidInput(field, value, "give a string")
    if len(value) > most:
        raise TooLarge(field, len(value), most, "characters")
    if _UNSTORABLE.search(value):
        raise InvalidInput(field, value, "give text without NUL and lone surrogates")
    return value


def json_size(value: object) -> int:
    """Return the size of a JSON value in bytes."""
    return len(_ENCODER.encode(value).encode("utf-8", "surrogatepass"))


def json_bytes(text: str) -> int:
    """Return the size of a text within JSON in bytes, without its quotation marks."""
    return json_size(text) - 2


def check_bytes(field: str, text: str, *, most: int) -> str:
    """Return ``text``, of at most ``most`` bytes of JSON.

    Raises:
        TooLarge: it is larger.
    """
    if len(text) * _WIDEST > most and (size := json_bytes(text)) > most:
        raise TooLarge(field, size, most)
    return text


def shorten(text: str | None, most: int) -> str | None:
    """Return the last ``most`` bytes of JSON: errors end with the important part.

    The limit is in bytes, not characters: the output of a coloured terminal takes six times its
    length, and a record over the store's limit could never be completed.
    """
    if text is None or len(text) * _WIDEST <= most or _fits(text, most):
        return text
    end = text[-most:]
    room = most - _LEFT_OUT_BYTES
    cut = bisect_left(range(len(end)), -room, key=lambda first: -json_bytes(end[first:]))
    return _LEFT_OUT + end[cut:]


def _fits(text: str, most: int) -> bool:
    return len(text) <= most and json_bytes(text) <= most


def storable(field: str, text: str | None) -> str | None:
    """Return a machine's text in a form that every store can keep.

    A NUL, and a lone surrogate (a byte that was not text), become question marks: a refusal would
    leave the work without a result.

    Raises:
        InvalidInput: it is neither a string nor None.
    """
    if text is None:
        return None
    if not isinstance(text, str):
        raise InvalidInput(field, text, "give a string, or None")
    return text.replace("\0", "?").encode("utf-8", "replace").decode()


def kept_text(field: str, text: str | None, *, most: int, empty: str) -> str:
    """Return the last ``most`` bytes of a result's text, as every store can keep it.

    A result is never refused because of its text; ``empty`` replaces an empty one.

    Raises:
        InvalidInput: it is neither a string nor None.
    """
    said = storable(field, text)
    return shorten(said if said and said.strip() else empty, most) or empty


def check_label(field: str, value: str) -> str:
    """Return ``value``, a short text that is not empty: a version, a host name, a user's id.

    Raises:
        InvalidInput: it is empty, not a string, or contains a NUL or a lone surrogate.
        TooLarge: it is larger than 256 bytes of JSON.
    """
    if check_text(field, value, most=MAX_LABEL) == "":
        raise InvalidInput(field, value, f"give 1 to {MAX_LABEL} characters")
    return check_bytes(field, value, most=MAX_LABEL)


def check_optional_label(field: str, value: str | None) -> str | None:
    """Return ``value``, None or a label; raises as :func:`check_label` does."""
    return None if value is None else check_label(field, value)


def check_optional_name(field: str, value: str | None) -> str | None:
    """Return ``value``, None or a name.

    Raises:
        InvalidInput: it is not a name, see :func:`check_name`.
    """
    return None if value is None else check_name(field, value)


def check_number(field: str, value: float, *, least: float, most: float) -> float:
    """Return ``value``, a number, which may have a fraction.

    Raises:
        InvalidInput: it is not a number, or outside ``least`` to ``most``.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not least <= value <= most:  # NaN fails every comparison
        raise InvalidInput(field, value, f"give a number from {least:g} to {most:g}")
    return value


def check_reason(field: str, value: str, *, most: int = MAX_REASON) -> str:
    """Return the last ``most`` bytes of ``value``, a reason for people.

    It may come from a machine: characters that not every store can keep become ``?``.

    Raises:
        InvalidInput: it is empty, or not a string.
    """
    if not isinstance(value, str) or not value:
        raise InvalidInput(field, value, "give a reason of at least one character")
    return kept_text(field, value, most=most, empty=value)


def check_metadata(values: Mapping[str, str]) -> dict[str, str]:
    """Return a copy of the metadata, sorted by its names.

    Raises:
        InvalidInput: it is not a mapping of strings to strings, or has a text that not every store
            can keep; the error names the entry.
        TooLarge: a name has more than 128 characters, a value more than 1,024, or the total is
            over 256 KiB of JSON.
    """
    if not isinstance(values, (dict, Mapping)):
        raise InvalidInput("metadata", values, "give a mapping of strings to strings")
    for name, value in values.items():
        check_text("metadata", name, most=128)
        check_text(f"metadata[{name!r}]", value)
    check_together("metadata", values)
    return dict(sorted(values.items()))


def check_together(field: str, *parts: object, besides: int = 0) -> None:
    """Check that all fields that a caller sets fit into the entity's body together.

    The size is counted as JSON; later messages about the entity have their own room in the record.
    ``besides`` are bytes that were already counted.

    Raises:
        TooLarge: it is over 256 KiB; the error names ``field``.
    """
    size = besides + sum([json_size(part) for part in parts if part])
    if size > MAX_BODY_BYTES:
        raise TooLarge(field, size, MAX_BODY_BYTES)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number too large for a float
        return False
