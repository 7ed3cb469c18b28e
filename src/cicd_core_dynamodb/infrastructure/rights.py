"""The fewest rights of each role: the calls of its code, on their tables and indexes.

No role may delete items, scan tables, or change them: a store does none of that.
"""

from __future__ import annotations

from typing import Final

from cicd_core.entities import COLLECTIONS
from cicd_core.persistence.collections import (
    AGENTS,
    DEPLOYMENTS,
    JOBS,
    LANE_CHANGES,
    LANES,
    POOLS,
    READY,
)
from cicd_core.values import frozen
from cicd_core_dynamodb.items import KEY, PROVING
from cicd_core_dynamodb.tables import JOURNAL

#: The streams of the journal that a reader may write: the log, and the counters made from it.
LOG_STREAMS: Final = ("*|d|*", "*|c|*")


@frozen(kw_only=True)
class Right:
    """Some actions on a table and on indexes of it."""

    #: Letters and digits, unique in a role.
    name: str
    actions: tuple[str, ...]
    tables: tuple[str, ...] = ()
    #: Pairs of a table and an index; ``*`` is every one of the table.
    indexes: tuple[tuple[str, str], ...] = ()
    #: Patterns of the allowed partition keys; none: all of them.
    leading_keys: tuple[str, ...] = ()
    #: The allowed attributes; none: all of them.
    attributes: tuple[str, ...] = ()

    @property
    def conditions(self) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
        """Its limits as IAM's conditions: a test, a variable, and values."""
        limits: list[tuple[str, str, tuple[str, ...]]] = []
        if self.leading_keys:
            limits.append(("ForAllValues:StringLike", "dynamodb:LeadingKeys", self.leading_keys))
        if self.attributes:
            limits += [
                ("ForAllValues:StringEquals", "dynamodb:Attributes", self.attributes),
                # A query without named attributes requests all of them.
                ("StringEqualsIfExists", "dynamodb:Select", ("SPECIFIC_ATTRIBUTES",)),
            ]
        return tuple(limits)


@frozen(kw_only=True)
class Role:
    """The rights of one kind of process."""

    name: str
    description: str
    rights: tuple[Right, ...]


_ALL: Final = tuple(collection.name for collection in COLLECTIONS)
_SECRET: Final = tuple(collection.name for collection in COLLECTIONS if collection.is_secret)
_PUBLIC: Final = tuple(name for name in _ALL if name not in _SECRET)
_GET: Final = "dynamodb:BatchGetItem"
_READ_JOURNAL: Final = ("dynamodb:GetItem", "dynamodb:Query")


def _proofs(tables: tuple[str, ...]) -> Right:
    """Return the right to see which commits were applied; copying to the log needs it."""
    return Right(
        name="Proofs",
        actions=(_GET,),
        tables=tables,
        attributes=(KEY, *PROVING),
    )


_WRITE_JOURNAL: Final = Right(
    name="Journal", actions=(*_READ_JOURNAL, "dynamodb:PutItem"), tables=(JOURNAL.name,)
)
CONTROL_PLANE: Final = Role(
    name="control-plane",
    description="the control plane: every verb, maintenance, the log",
    rights=(
        Right(name="Records", actions=(_GET, "dynamodb:UpdateItem"), tables=_ALL),
        Right(
            name="Indexes",
            actions=("dynamodb:Query",),
            indexes=tuple((name, "*") for name in _ALL),
        ),
        _WRITE_JOURNAL,
    ),
)
AGENT: Final = Role(
    name="agent",
    description="an agent that opens the store itself, without maintenance",
    rights=(
        Right(
            name="Records",
            actions=(_GET, "dynamodb:UpdateItem"),
            tables=(JOBS.name, AGENTS.name),
        ),
        Right(name="Lanes", actions=(_GET,), tables=(LANES.name,)),
        _proofs((DEPLOYMENTS.name, POOLS.name, *_SECRET)),
        Right(
            name="Work",
            actions=("dynamodb:Query",),
            indexes=((JOBS.name, READY.name), (LANES.name, LANE_CHANGES.name)),
        ),
        _WRITE_JOURNAL,
    ),
)
READER: Final = Role(
    name="reader",
    description="dashboards and followers of the log; not sessions",
    rights=(
        Right(name="Records", actions=(_GET,), tables=_PUBLIC),
        _proofs(_SECRET),
        Right(
            name="Indexes",
            actions=("dynamodb:Query",),
            indexes=tuple((name, "*") for name in _PUBLIC),
        ),
        Right(name="Journal", actions=_READ_JOURNAL, tables=(JOURNAL.name,)),
        # Readers of the log also continue it.
        Right(
            name="Log",
            actions=("dynamodb:PutItem",),
            tables=(JOURNAL.name,),
            leading_keys=LOG_STREAMS,
        ),
    ),
)
ROLES: Final = (CONTROL_PLANE, AGENT, READER)
