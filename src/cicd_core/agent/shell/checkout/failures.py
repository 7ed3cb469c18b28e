"""The errors of checkouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cicd_core.redaction import redacted, redacted_url
from cicd_core.travelling import reduced

if TYPE_CHECKING:
    from cicd_core.model.git import GitContext


class CheckoutFailed(Exception):
    """The checkout that a job requests is not possible; the message says why."""

    def __init__(self, reason: str) -> None:
        """Take the reason, without credentials."""
        super().__init__(redacted(reason.strip()))

    def __reduce__(self) -> str | tuple[Any, ...]:
        return reduced(self)

    def of(self, git: GitContext) -> CheckoutFailed:
        """Return the same failure, with the request at the start of its message."""
        wanted = git.pinned or git.ref or "HEAD"
        return CheckoutFailed(f"{wanted} of {redacted_url(git.repo)} was not checked out: {self}")


class GitFailed(CheckoutFailed):
    """A git command ended with an error."""

    def __init__(self, command: str, said: str) -> None:
        """Take the command, and the end of its output."""
        self.said = said.strip()
        super().__init__(f"git {command} failed: {self.said or 'it gave no reason'}")


class GitTooSlow(CheckoutFailed):
    """A git command exceeded its time limit and was stopped."""


class GitTooLarge(CheckoutFailed):
    """A checkout exceeded the agent's limit of bytes."""
