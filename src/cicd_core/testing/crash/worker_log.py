"""What all workers together say happened, job by job: only what they were told."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final

from attrs import define, field

from cicd_core.testing.crash.journal import Ending, read_calls

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from cicd_core.testing.crash.journal import Call

#: The verbs that show a token.
OWNER_VERBS: Final = frozenset({"start", "progress", "renew", "complete", "release"})
#: How many faults are told in words.
_TOLD: Final = 20


@define
class Granted:
    """A claim of a job, as its holder was told."""

    claim_id: str
    #: When the holder had the answer, in microseconds since the machine started.
    answered: int
    #: The latest instant up to which the holder was promised the job, on the store's clock (µs).
    expires: int


@define
class Use:
    """A call that showed a token and was not refused: accepted, or with an unknown outcome."""

    verb: str
    fence: int
    called: int
    accepted: bool
    verdict: str | None = None
    state: str | None = None


@define
class JobTestimony:
    """What was told of one job."""

    granted: dict[int, Granted] = field(factory=dict[int, Granted])
    uses: list[Use] = field(factory=list[Use])
    #: Claims of one fence under another id than the first one that was told of.
    doubles: list[tuple[int, str]] = field(factory=list[tuple[int, str]])
    cancelled: int = 0
    replayed: int = 0
    #: How long the holder of each fence may rely on it: the latest of all answers.
    promised: dict[int, int] = field(factory=dict[int, int])


class Witnesses:
    """All journals of a run, taken together."""

    def __init__(self) -> None:
        """Begin with nothing told."""
        self.jobs: defaultdict[str, JobTestimony] = defaultdict(JobTestimony)
        #: The job of each tag whose enqueue was acknowledged.
        self.enqueued: dict[str, str] = {}
        #: Tags that were ever asked for.
        self.asked: set[str] = set()
        #: Tags that were answered with different jobs.
        self.torn: list[str] = []
        #: How many calls ended how.
        self.calls: Counter[Ending] = Counter()
        #: Calls of those that were lost that showed a token and were refused as stale.
        self.refused_stale = 0
        #: What should not have been raised.
        self.broken: list[str] = []
        self._number_of: dict[str, int] = {}

    @classmethod
    def of(cls, journals: Iterable[Path]) -> Witnesses:
        """Read all journals."""
        testimony = cls()
        for path in journals:
            for call in read_calls(path):
                testimony.add(call)
        return testimony

    @property
    def operations(self) -> int:
        """How many calls were acknowledged."""
        return self.calls[Ending.ACKNOWLEDGED]

    def add(self, call: Call) -> None:
        """Take in one call."""
        self.calls[call.ending] += 1
        if call.ending is Ending.BROKEN:
            if len(self.broken) < _TOLD:
                self.broken.append(f"{call.verb}: {call.answer['error']}: {call.answer['text']}")
        elif call.verb == "enqueue":
            self._add_enqueue(call)
        elif call.verb == "claim":
            self._add_claim(call)
        elif call.verb in OWNER_VERBS:
            self._add_use(call)
        elif call.verb in {"cancel", "replay"} and call.ending is Ending.ACKNOWLEDGED:
            job = self.jobs[call.asked["job"]]
            job.cancelled += call.verb == "cancel"
            job.replayed += call.verb == "replay"

    def unfounded(self, tags: Iterable[str]) -> Iterator[str]:
        """Yield those of the store's tags that nobody asked for, or that are there twice."""
        found: set[str] = set()
        for tag in tags:
            if tag not in self.asked or tag in found:
                yield tag
            found.add(tag)

    def _add_enqueue(self, call: Call) -> None:
        tags = call.asked["tags"]
        self.asked.update(tags)
        for tag, job_id in zip(tags, call.answer.get("jobs", ()), strict=False):
            if self.enqueued.setdefault(tag, job_id) != job_id:
                self.torn.append(tag)

    def _add_claim(self, call: Call) -> None:
        if call.ending is not Ending.ACKNOWLEDGED or call.answered is None:
            return
        for job_id, fence, claim_id, _, expires in call.answer["got"]:
            job = self.jobs[job_id]
            known = job.granted.get(fence)
            if known is not None:
                job.doubles.append((fence, claim_id))
                continue
            job.granted[fence] = Granted(claim_id, call.answered, expires)
            job.promised[fence] = max(expires, job.promised.get(fence, 0))

    def _add_use(self, call: Call) -> None:
        if call.ending is Ending.REFUSED:
            self.refused_stale += call.answer["error"] == "LeaseLost"
            return
        accepted = call.ending is Ending.ACKNOWLEDGED
        if call.verb == "renew" and accepted and not call.answer["held"]:
            self.refused_stale += 1
            return
        job, fence = self.jobs[call.asked["job"]], call.asked["fence"]
        job.uses.append(
            Use(
                call.verb,
                fence,
                call.called,
                accepted,
                call.asked.get("verdict"),
                call.answer.get("state"),
            )
        )
        expires = call.answer.get("expires")
        if expires is not None:
            job.promised[fence] = max(expires, job.promised.get(fence, 0))
