"""The oracle of jobs: each rule on answers and a log made by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from cicd_core.model.event import Event
from cicd_core.model.instants import from_micros
from cicd_core.testing.crash.recovery import recovery
from cicd_core.testing.crash.storm import Death
from cicd_core.testing.job_oracle.logged import LoggedAttempt
from cicd_core.testing.job_oracle.losses import lost_jobs
from cicd_core.testing.job_oracle.oracle import JobOracle
from cicd_core.testing.recording.journal import Acknowledgements, Journal, read
from cicd_core.testing.recording.operation import UNKNOWN, Operation
from cicd_core.testing.recording.service_calls import (
    Ending,
    ServiceAnswer,
    ServiceCall,
    ServiceOperation,
    answer_to,
)

if TYPE_CHECKING:
    from pathlib import Path

JOB = "job-1"


def call(
    verb: str, at: int, *, ending: Ending = Ending.ACKNOWLEDGED, **words: Any
) -> ServiceOperation:
    answer = words.pop("answer", {})
    return Operation(
        client="w",
        number=0,
        argument=ServiceCall(verb=verb, details=words),
        result=ServiceAnswer(ending=ending, details=answer),
        invoked=at,
        returned=at + 5,
    )


def claimed(fence: int, at: int, claim_id: str = "", expires: int = 1000) -> ServiceOperation:
    got = [[JOB, fence, claim_id or f"claim-{fence}", fence, expires]]
    return call("claim", at, answer={"got": got})


def used(verb: str, fence: int, at: int, **words: Any) -> ServiceOperation:
    state = words.pop("state", "success" if verb == "complete" else None)
    answer = {} if state is None else {"state": state}
    return call(verb, at, job=JOB, fence=fence, answer=answer, **words)


def completed(fence: int, at: int, verdict: str = "success", **words: Any) -> ServiceOperation:
    return used("complete", fence, at, verdict=verdict, **words)


def oracle_of(*calls: ServiceOperation, is_sequential: bool = False) -> JobOracle:
    oracle = JobOracle(is_sequential=is_sequential)
    for each in calls:
        oracle.add(each)
    return oracle


def owners(*calls: ServiceOperation) -> list[str]:
    return list(oracle_of(*calls).double_owned())


def logs(oracle: JobOracle, **attempts: LoggedAttempt) -> JobOracle:
    """Give a log to an oracle: each attempt of the job, named f and its fence."""
    job = oracle.logged.jobs[JOB]
    job.attempts = {int(name[1:]): attempt for name, attempt in attempts.items()}
    return oracle


# -------------------------------------------------------------------------------- two owners


def test_one_owner_after_the_other_is_as_it_should_be() -> None:
    retried = completed(1, 20, "error", state="queued")
    assert owners(claimed(1, 10), used("start", 1, 15), retried, claimed(2, 30)) == []


def test_one_fence_for_two_claims_is_two_owners() -> None:
    (fault,) = owners(claimed(1, 10, "a"), claimed(1, 20, "b"))
    assert "claim a" in fault
    assert "claim b" in fault


@pytest.mark.parametrize("verb", ["start", "progress", "renew", "release"])
def test_a_call_that_is_accepted_after_the_next_claim_was_answered_is_two_owners(
    verb: str,
) -> None:
    late = call(verb, 31, job=JOB, fence=1, answer={"held": True})
    (fault,) = owners(claimed(1, 10), claimed(2, 20), late)
    assert "fence 1" in fault
    assert "fence 2" in fault


def test_a_call_that_began_before_the_next_claim_was_answered_may_have_come_first() -> None:
    assert owners(claimed(1, 10), claimed(2, 20), used("start", 1, 24)) == []


def test_a_call_that_nobody_answered_proves_nothing() -> None:
    lost = used("start", 1, 31, ending=Ending.UNKNOWN)
    assert owners(claimed(1, 10), claimed(2, 20), lost) == []


@pytest.mark.parametrize("ending", [Ending.ACKNOWLEDGED, Ending.UNKNOWN])
def test_a_repetition_is_answered_as_the_first_time(ending: Ending) -> None:
    first = completed(1, 15, "error", state="queued", ending=ending)
    again = completed(1, 40, "error", state="running")
    assert owners(claimed(1, 10), first, claimed(2, 20), again) == []


def test_a_repetition_of_what_was_refused_is_no_repetition() -> None:
    refused = completed(1, 15, ending=Ending.REFUSED)
    answer_to(refused).details["error"] = "LeaseLost"
    assert owners(claimed(1, 10), refused, claimed(2, 20), completed(1, 40)) != []


def test_another_verdict_is_no_repetition() -> None:
    first = completed(1, 15, "error", state="queued")
    assert owners(claimed(1, 10), first, claimed(2, 20), completed(1, 40, "failed")) != []


def test_two_final_verdicts_are_one_too_many() -> None:
    faults = owners(claimed(1, 10), completed(1, 12), completed(2, 14, "failed", state="failed"))
    assert any("several final verdicts" in fault for fault in faults)


def test_a_verdict_that_was_tried_again_and_is_answered_with_that_of_another_is_none() -> None:
    slow = completed(1, 12, "error", state="failed")
    assert (
        owners(claimed(1, 10), slow, claimed(2, 14), completed(2, 20, "failed", state="failed"))
        == []
    )


# ------------------------------------------------------------------------------------ losses


def test_an_enqueue_that_was_acknowledged_must_be_there() -> None:
    asked = call("enqueue", 1, tags=["a", "b"], answer={"jobs": ["j1", "j2"]})
    answers = oracle_of(asked).answers
    assert list(lost_jobs(answers, {"j1", "j2"})) == []
    (fault,) = lost_jobs(answers, {"j1"})
    assert "j2 (b)" in fault


def test_an_enqueue_without_an_answer_may_be_there_or_not() -> None:
    answers = oracle_of(call("enqueue", 1, tags=["a"], ending=Ending.UNKNOWN)).answers
    assert list(lost_jobs(answers, set())) == []
    assert list(answers.unfounded(["a"])) == []


def test_a_job_that_nobody_asked_for_or_that_is_there_twice_is_unfounded() -> None:
    answers = oracle_of(call("enqueue", 1, tags=["a"], answer={"jobs": ["j1"]})).answers
    assert list(answers.unfounded(["a", "a", "z"])) == ["a", "z"]


def test_one_key_that_is_answered_with_two_jobs_is_ambiguous() -> None:
    first = call("enqueue", 1, tags=["a"], answer={"jobs": ["j1"]})
    second = call("enqueue", 1, tags=["a"], answer={"jobs": ["j2"]})
    assert oracle_of(first, first).answers.ambiguous == []
    assert oracle_of(first, second).answers.ambiguous == ["a"]


@pytest.mark.parametrize(
    ("missing", "attempts"),
    [
        ("a claim was answered with fence 1", {}),
        ("start with fence 1", {"f1": LoggedAttempt("a", 0, ended=9, ended_by="a")}),
        ("complete with fence 1", {"f1": LoggedAttempt("a", 0, started=True)}),
        (
            "complete with fence 1",
            {"f1": LoggedAttempt("a", 0, started=True, ended=9, ended_by="b")},
        ),
    ],
)
def test_what_was_acknowledged_must_be_in_the_log(
    missing: str, attempts: dict[str, LoggedAttempt]
) -> None:
    oracle = oracle_of(claimed(1, 10), used("start", 1, 15), completed(1, 20))
    assert any(missing in fault for fault in logs(oracle, **attempts).lost())
    whole = LoggedAttempt("a", 0, started=True, ended=9, ended_by="a")
    assert list(logs(oracle, f1=whole).lost()) == []


def test_a_report_a_cancel_and_a_replay_must_be_in_the_log() -> None:
    oracle = oracle_of(
        claimed(1, 10),
        used("progress", 1, 12),
        call("cancel", 20, job=JOB),
        call("replay", 20, job=JOB),
    )
    assert len(list(logs(oracle, f1=LoggedAttempt("a", 0)).lost())) == 3
    job = oracle.logged.jobs[JOB]
    job.progressed = job.cancels = job.replays = 1
    assert list(oracle.lost()) == []


# ------------------------------------------------------------------------------ time and kills


def reaped(ended: int, *, actor: str = "maintenance", deadline: bool = False) -> LoggedAttempt:
    return LoggedAttempt("a", 0, ended=ended, ended_by=actor, missed_deadline=deadline)


def test_a_lease_that_is_taken_away_before_it_has_run_out_is_found() -> None:
    renewed = call("renew", 12, job=JOB, fence=1, answer={"held": True, "expires": 1500})
    oracle = oracle_of(claimed(1, 10, expires=1000), renewed)
    early, late = LoggedAttempt("b", 1499), LoggedAttempt("b", 1500)
    assert len(list(logs(oracle, f1=reaped(1200), f2=early).early())) == 1
    assert len(list(logs(oracle, f1=reaped(1600), f2=early).early())) == 1
    assert list(logs(oracle, f1=reaped(1200), f2=late).early()) == []
    assert list(logs(oracle, f1=reaped(1200, actor="a"), f2=early).early()) == []
    assert list(logs(oracle, f1=reaped(1200, deadline=True), f2=early).early()) == []


def test_without_overlaps_a_reaper_that_acts_before_a_lease_has_run_out_is_found() -> None:
    renewed = call("renew", 12, job=JOB, fence=1, answer={"held": True, "expires": 1500})
    oracle = oracle_of(claimed(1, 10, expires=1000), renewed, is_sequential=True)
    assert len(list(logs(oracle, f1=reaped(1499)).early())) == 1
    assert list(logs(oracle, f1=reaped(1500)).early()) == []


def test_only_jobs_with_new_answers_or_events_have_changed() -> None:
    oracle = oracle_of(claimed(1, 10), used("start", 1, 20))
    assert (oracle.changed(), oracle.changed()) == ({JOB}, set())
    oracle.add(call("renew", 30, job=JOB, fence=1, answer={"held": True}))
    oracle.see(
        Event(
            type="job.created",
            at=from_micros(0),
            subject=("jobs", "job-2"),
            data={},
            version=1,
            ordinal=0,
        )
    )
    assert oracle.changed() == {JOB, "job-2"}


def test_one_claim_that_is_repeated_is_one_owner() -> None:
    assert owners(claimed(1, 10, "a"), claimed(1, 20, "a")) == []


def test_a_reaper_that_decides_before_a_renewal_and_commits_after_it_ran_out_is_right() -> None:
    renewed = call("renew", 12, job=JOB, fence=1, answer={"held": True, "expires": 1500})
    oracle = oracle_of(claimed(1, 10, expires=1000), renewed)
    assert list(logs(oracle, f1=reaped(1499)).early()) == []


def test_recovery_is_from_the_kill_to_the_moment_when_the_queue_had_the_job_again() -> None:
    killed = Death(slot=0, generation=3, at=1_000_000, code=-9, by_itself=False)
    found = logs(
        JobOracle(),
        f1=LoggedAttempt("lab-0.3", 0, ended=13_500_000, ended_by="maintenance"),
        f2=LoggedAttempt("lab-0.3", 0, ended=10_500_000, ended_by="maintenance"),
        f3=LoggedAttempt("lab-0.3", 0, ended=14_000_000, ended_by="lab-0.3"),
        f4=LoggedAttempt("lab-1.0", 0, ended=14_000_000, ended_by="maintenance"),
    )
    measured = recovery(found.logged, [killed], offset=10_000_000)
    assert (measured.jobs, measured.median, measured.longest) == (1, 2.5, 2.5)
    assert recovery(JobOracle().logged, [killed], offset=0).longest is None


def test_stale_calls_that_are_refused_are_counted() -> None:
    refused = call("start", 1, job=JOB, fence=1, ending=Ending.REFUSED)
    answer_to(refused).details["error"] = "LeaseLost"
    lost = call("renew", 1, job=JOB, fence=1, answer={"held": False, "expires": None})
    illegal = call("start", 1, job=JOB, fence=1, ending=Ending.REFUSED)
    answer_to(illegal).details["error"] = "IllegalTransition"
    assert oracle_of(refused, lost, illegal).answers.refused_stale == 2


# ---------------------------------------------------------------------------------- journals


def test_a_journal_holds_how_each_call_ended(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    asked, claimed = call("enqueue", 1, tags=["a"]), call("claim", 2, ending=Ending.REFUSED)
    with path.open("w", encoding="utf-8") as file:
        journal = Journal(file)
        journal(evolve(asked, number=1, result=UNKNOWN, returned=None))
        journal(evolve(claimed, number=2, result=UNKNOWN, returned=None))
        journal(evolve(claimed, number=2))
    lost, refused = read(path)
    assert (lost.argument, answer_to(lost).ending) == (asked.argument, Ending.UNKNOWN)
    assert refused == evolve(claimed, number=2)


def test_a_mishap_is_counted_and_is_no_acknowledged_call() -> None:
    fork = call("fork", 1, ending=Ending.HAPPENED, child=7)
    answers = oracle_of(fork, call("sweep", 2)).answers
    assert answers.mishaps == {"fork": 1}
    assert answers.operations == 1


def test_acknowledgements_are_counted_while_the_journal_grows(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    counted = Acknowledgements(path)
    assert counted.more() == 0
    with path.open("w", encoding="utf-8") as file:
        journal = Journal(file)
        journal(call("sweep", 1))
        journal(call("sweep", 2, ending=Ending.REFUSED))
        journal(evolve(call("sweep", 3), result=UNKNOWN, returned=None))
        assert counted.more() == 1
        journal(call("sweep", 3))
        assert counted.more() == 1
        assert counted.more() == 0
