"""An amount to add to a counter: the rules decide it, and a store adds it in the same commit."""

from __future__ import annotations

from cicd_core.values import frozen


@frozen
class Increment:
    """Add ``amount`` to the counter ``name``.

    The part of a name before its first ``|`` is its group. Stores keep a group together: the cost
    of reading it depends on the size of the group, never on that of the queue.
    """

    name: str
    amount: int = 1
