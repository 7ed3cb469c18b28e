"""An amount to add to a counter: rules decide on it, and a store adds it in the same commit."""

from __future__ import annotations

from cicd_core.values import frozen


@frozen
class Increment:
    """Add ``amount`` to the counter ``name``.

    The part of a name before its first ``|`` is its group: stores keep a group together, and
    reading one costs what the group holds, never what the queue holds.
    """

    name: str
    amount: int = 1
