"""How many replicas must hold a write before it is acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.values import frozen

if TYPE_CHECKING:
    from cicd_core_redis.codec import Argument


@frozen
class Confirming:
    """How each write is confirmed before it is acknowledged."""

    #: How many replicas must have it.
    replicas: int
    #: How long they may take for it, in seconds.
    timeout: float

    #: The script that writes something.
    script: str

    def commands(self, meta: bytes) -> tuple[tuple[Argument, ...], ...]:
        """Return what is sent behind the writes; ``meta`` is a key of ours."""
        milliseconds = max(1, round(self.timeout * 1000))
        return (b"EVAL", self.script, 1, meta), (b"WAIT", self.replicas, milliseconds)
