"""Mutants that no user of a store could tell from the original, each with its reason."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.mutation.generating import Mutant

LIST: Final = Path(__file__).with_name("equivalents.toml")


def reason_of(mutant: Mutant) -> str | None:
    """Return why a mutant is equivalent; None: it is not known to be."""
    added = " ".join(line[2:] for line in mutant.change if line[0] == "+")
    return reason_by_rule(mutant) or listed().get((mutant.place, added))


def reason_by_rule(mutant: Mutant) -> str | None:
    """Return why mutants like this one are equivalent, whatever they are in: they are not tried."""
    removed = " ".join(line[2:] for line in mutant.change if line[0] == "-")
    added = " ".join(line[2:] for line in mutant.change if line[0] == "+")
    if mutant.place.startswith("sqlite.") and _is_sql_in_other_case(removed, added):
        return "SQL reads keywords and names in any case"
    if "raise " in removed and _MESSAGE.sub("", removed) == _MESSAGE.sub("", added):
        return "the contract names errors and their fields, and no word of their messages"
    return None


@cache
def listed() -> dict[tuple[str, str], str]:
    """Return the list: the place and the new lines of each mutant, and the reason."""
    entries = tomllib.loads(LIST.read_text(encoding="utf-8"))["equivalent"]
    return {(entry["place"], line): entry["reason"] for entry in entries for line in entry["lines"]}


def _is_sql_in_other_case(removed: str, added: str) -> bool:
    is_other_case = removed.lower() == added.lower() and '"' in added
    return is_other_case and any(word in removed for word in _SQL)


#: The last argument of an error, which is text for a person; a mutant may leave it out.
_MESSAGE: Final = re.compile(r',? ?(f?"[^"]*"|None)(?=\s*,?\s*\))|, (?=\))')
_SQL: Final = (
    "SELECT ",
    "INSERT ",
    "UPDATE ",
    "DELETE ",
    "VALUES ",
    "WHERE ",
    "AND ",
    "ON CONFLICT",
    "DO ",
    "ORDER ",
    "PRAGMA ",
    "UNION ALL",
    "LIMIT ",
    "BEGIN",
    "NULL",
    "FROM ",
)
