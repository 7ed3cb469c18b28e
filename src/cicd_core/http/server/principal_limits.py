"""Limits on how much one principal may do at once."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cicd_core.http.server.bodies import BadRequest
from cicd_core.http.wire.problems import RETRY_AFTER_SECONDS, TOO_MANY

if TYPE_CHECKING:
    from collections.abc import Generator


class PrincipalLimit:
    """Counts what each principal does at once, in one event loop."""

    def __init__(self, most: int, refusal: str) -> None:
        """Let each principal do ``most`` at once.

        ``refusal`` is the message of the error, such as ``{most} streams of {principal} are open``.
        """
        self._most = most
        self._refusal = refusal
        self._of_each: Counter[str] = Counter()

    @property
    def number(self) -> int:
        """The number over all principals."""
        return self._of_each.total()

    def require_room(self, principal: str) -> None:
        """Check that a principal may do one more.

        Raises:
            BadRequest: it has reached its limit.
        """
        if self._of_each[principal] >= self._most:
            detail = self._refusal.format(most=self._most, principal=repr(principal))
            raise BadRequest(TOO_MANY, detail, {"retry-after": str(RETRY_AFTER_SECONDS)})

    @contextmanager
    def counted(self, principal: str) -> Generator[None]:
        """Count one of a principal while it lasts."""
        self._of_each[principal] += 1
        try:
            yield
        finally:
            self._of_each -= Counter((principal,))  # entries of 0 are removed
