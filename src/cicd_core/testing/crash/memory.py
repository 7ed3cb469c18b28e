"""A worker's memory of jobs and tokens, including that of its killed predecessor."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from cicd_core.model.job import LeaseToken
from cicd_core.testing.recording.journal import read
from cicd_core.testing.recording.service_calls import answer_to

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random  # noqa: TID251 - the caller's, seeded

#: The number of jobs and tokens to remember.
_REMEMBERED: Final = 200


class Memory:
    """The jobs and tokens that the callers of one worker share."""

    def __init__(self) -> None:
        self._jobs: deque[str] = deque(maxlen=_REMEMBERED)
        self._claims: deque[tuple[str, LeaseToken]] = deque(maxlen=_REMEMBERED)

    def inherit(self, journal: Path) -> None:
        """Read the answers of a predecessor; some of its last tokens still own a job."""
        calls = read(journal) if journal.exists() else ()  # it may have been killed before
        for call in calls:
            if call.argument.verb == "claim":
                for job_id, fence, claim_id, *_ in answer_to(call).details.get("got", ()):
                    self.know_claim(job_id, LeaseToken(fence=fence, claim_id=claim_id))

    def know_job(self, job_id: str) -> None:
        """Remember a job."""
        self._jobs.append(job_id)

    def know_claim(self, job_id: str, token: LeaseToken) -> None:
        """Remember a token."""
        self._claims.append((job_id, token))

    def some_job(self, random: Random) -> str | None:
        """Return a job; None: none is known."""
        return random.choice(self._jobs) if self._jobs else None

    def some_claim(self, random: Random) -> tuple[str, LeaseToken] | None:
        """Return a job and a token that owned it; None: none is known."""
        return random.choice(self._claims) if self._claims else None
