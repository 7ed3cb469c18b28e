"""How many replicas must hold a write before it is acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.values import frozen

if TYPE_CHECKING:
    from cicd_core_redis.codec import Argument


@frozen
class Confirming:
    """How replicas confirm each write before it is acknowledged."""

    #: How many replicas must have a write.
    replicas: int
    #: How long they may take, in seconds.
    timeout: float

    #: The script that makes the write before ``WAIT``.
    script: str

    def commands(self, meta: bytes) -> tuple[tuple[Argument, ...], ...]:
        """Return the commands to send after the writes; ``meta`` is the namespace's meta key."""
        milliseconds = max(1, round(self.timeout * 1000))
        return (b"EVAL", self.script, 1, meta), (b"WAIT", self.replicas, milliseconds)
