"""The answers of all callers together, by job."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final

from attrs import define, field

from cicd_core.testing.recording.service_calls import Ending, answer_to

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cicd_core.testing.recording.service_calls import ServiceAnswer, ServiceOperation

#: The verbs with a token.
OWNER_VERBS: Final = frozenset({"start", "progress", "renew", "complete", "release"})
#: The verbs that answer claimed jobs: a claim, and the question for the jobs of an earlier claim.
_CLAIMS: Final = frozenset({"claim", "held"})
#: The most faults that are described.
_DESCRIBED: Final = 20


@define
class Granted:
    """A claim of a job, by the answer to its holder."""

    claim_id: str
    #: When the holder got the answer, in microseconds since the machine started.
    answered: int
    #: The latest promised end of the lease, on the store's clock (µs).
    expires: int


@define
class Use:
    """A call with a token that was not refused: accepted, or with an unknown outcome."""

    verb: str
    fence: int
    called: int
    accepted: bool
    verdict: str | None = None
    state: str | None = None


@define
class JobAnswers:
    """The answers about one job."""

    granted: dict[int, Granted] = field(factory=dict[int, Granted])
    uses: list[Use] = field(factory=list[Use])
    #: Claims with the fence of another claim, which was answered first.
    doubles: list[tuple[int, str]] = field(factory=list[tuple[int, str]])
    cancelled: int = 0
    replayed: int = 0
    #: The promised end of the lease with each fence: the latest of all answers.
    promised: dict[int, int] = field(factory=dict[int, int])


class Answers:
    """The answers of a run, from all journals together."""

    def __init__(self) -> None:
        self.jobs: defaultdict[str, JobAnswers] = defaultdict(JobAnswers)
        #: The job of each tag with an acknowledged enqueue.
        self.enqueued: dict[str, str] = {}
        #: All requested tags.
        self.asked: set[str] = set()
        #: Tags that were answered with different jobs.
        self.ambiguous: list[str] = []
        #: The number of each mishap.
        self.mishaps: Counter[str] = Counter()
        #: The number of calls by their endings.
        self.calls: Counter[Ending] = Counter()
        #: Calls with a token that were refused as stale.
        self.refused_stale = 0
        #: Unexpected errors.
        self.broken: list[str] = []
        #: The jobs of the calls since the last check.
        self.touched: set[str] = set()

    @property
    def operations(self) -> int:
        """The number of acknowledged calls."""
        return self.calls[Ending.ACKNOWLEDGED]

    def add(self, call: ServiceOperation) -> None:
        """Add a call or a mishap."""
        asked, answer = call.argument, answer_to(call)
        self.calls[answer.ending] += 1
        if answer.ending is Ending.HAPPENED:
            self.mishaps[asked.verb] += 1
        elif answer.ending is Ending.BROKEN:
            if len(self.broken) < _DESCRIBED:
                error, text = answer.details["error"], answer.details["text"]
                self.broken.append(f"{asked.verb}: {error}: {text}")
        elif asked.verb == "enqueue":
            self._add_enqueue(asked.details["tags"], answer.details.get("jobs", ()))
        elif asked.verb in _CLAIMS:
            self._add_claim(call, answer)
        elif asked.verb in OWNER_VERBS:
            self._add_use(call, answer)
        elif asked.verb in {"cancel", "replay"} and answer.ending is Ending.ACKNOWLEDGED:
            job = self.jobs[asked.details["job"]]
            job.cancelled += asked.verb == "cancel"
            job.replayed += asked.verb == "replay"

    def unfounded(self, tags: Iterable[str]) -> Iterator[str]:
        """Yield the store's tags without a request, or that exist twice."""
        found: set[str] = set()
        for tag in tags:
            if tag not in self.asked or tag in found:
                yield tag
            found.add(tag)

    def _add_enqueue(self, tags: Sequence[str], jobs: Sequence[str]) -> None:
        self.asked.update(tags)
        for tag, job_id in zip(tags, jobs, strict=False):
            if self.enqueued.setdefault(tag, job_id) != job_id:
                self.ambiguous.append(tag)

    def _add_claim(self, call: ServiceOperation, answer: ServiceAnswer) -> None:
        if answer.ending is not Ending.ACKNOWLEDGED or call.returned is None:
            return
        for job_id, fence, claim_id, _, expires in answer.details["got"]:
            job = self.jobs[job_id]
            self.touched.add(job_id)
            first = job.granted.setdefault(fence, Granted(claim_id, call.returned, expires))
            if first.claim_id != claim_id:
                job.doubles.append((fence, claim_id))
                continue
            job.promised[fence] = max(expires, job.promised.get(fence, 0))

    def _add_use(self, call: ServiceOperation, answer: ServiceAnswer) -> None:
        verb, asked = call.argument.verb, call.argument.details
        if answer.ending is Ending.REFUSED:
            self.refused_stale += answer.details["error"] == "LeaseLost"
            return
        accepted = answer.ending is Ending.ACKNOWLEDGED
        if verb == "renew" and accepted and not answer.details["held"]:
            self.refused_stale += 1
            return
        job, fence = self.jobs[asked["job"]], asked["fence"]
        self.touched.add(asked["job"])
        verdict, state = asked.get("verdict"), answer.details.get("state")
        job.uses.append(Use(verb, fence, call.invoked, accepted, verdict, state))
        expires = answer.details.get("expires")
        if expires is not None:
            job.promised[fence] = max(expires, job.promised.get(fence, 0))
