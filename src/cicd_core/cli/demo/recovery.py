"""Scenes of recovery: an agent killed during a job, a job that fails until it is fixed."""

from __future__ import annotations

import anyio

from cicd_core.cli.demo.context import SceneFailed, Stage, require
from cicd_core.cli.demo.state import KILLED, Scene
from cicd_core.errors import LeaseLost
from cicd_core.model.claim import ClaimRef
from cicd_core.model.job import Job, JobState, LeaseToken
from cicd_core.model.outcome import Outcome


async def kill_an_agent(stage: Stage) -> None:
    """Kill an agent that provably runs a job; the job returns, the old token is rejected."""
    say, soak = stage.board.say, stage.workshop.soak()
    job_id = (await stage.enqueue(soak)).job_id
    running = await _proven(stage, job_id, "soak")
    token, victim = _token(running), running.agent_id or ""
    process = stage.agents[victim]
    say(Scene.KILL, f"{soak.name} runs on {victim} under fence {token.fence}")
    await stage.look(0.4)
    process.kill()
    killed_at = anyio.current_time()
    await process.wait()
    stage.board.agents[victim].status = KILLED
    say(Scene.KILL, f"{victim}, process {process.pid}, got SIGKILL while it runs the job")
    back = await stage.until(
        job_id,
        lambda job: job.state is JobState.RUNNING and job.token != token,
        "a new owner",
    )
    seconds = anyio.current_time() - killed_at
    require(back.fence > token.fence, f"the fence went from {token.fence} to {back.fence}")
    require(back.agent_id != victim, f"{victim} is dead, but still owns the job")
    say(
        Scene.KILL,
        f"{soak.name} is back after {seconds:.1f} s: {back.agent_id}, fence {back.fence}",
    )
    refusal = await _refused(stage, job_id, token)
    await stage.look(0.5)
    say(Scene.KILL, f"its old fence, {token.fence}, is now rejected")
    await stage.look()
    await _let_end(stage, "soak")
    ended = await stage.ended(job_id)
    require(ended.state is JobState.SUCCESS, f"{soak.name} ended with {ended.state.value}")
    stage.board.done(
        Scene.KILL,
        f"back in {seconds:.1f} s on {ended.agent_id}, new fence; the old one is rejected",
        agent_id=victim,
        pid=process.pid,
        exit_code=process.exit_code,
        job_id=job_id,
        old_fence=token.fence,
        new_agent_id=back.agent_id,
        new_fence=back.fence,
        seconds_to_come_back=round(seconds, 3),
        refused=str(refusal),
        state=ended.state,
    )


async def bury_and_replay(stage: Stage) -> None:
    """Let a job fail until it is a dead letter; fix the cause, replay it, see it succeed."""
    say, package = stage.board.say, stage.workshop.package()
    job_id = (await stage.enqueue(package)).job_id
    say(Scene.DEAD_LETTER, f"{package.name} needs a signing key that does not exist")
    dead = await stage.until(
        job_id, lambda job: job.state is JobState.DEAD_LETTERED, "among the dead letters"
    )
    letters = (await stage.plane.jobs.dead_letters(limit=500)).items
    require(job_id in {job.job_id for job in letters}, "it is not in the list of dead letters")
    why = f"{dead.attempts_used} of {dead.max_attempts} attempts, exit code {dead.exit_code}"
    say(Scene.DEAD_LETTER, f"{package.name} is a dead letter: {why}")
    await stage.look()
    await anyio.Path(stage.place.marks / "signing.key").write_text("created by the demo\n")
    await stage.plane.jobs.replay(job_id, actor="demo")
    say(Scene.DEAD_LETTER, "the key now exists; replayed")
    ended = await stage.ended(job_id)
    require(ended.state is JobState.SUCCESS, f"{package.name} ended with {ended.state.value}")
    stage.board.done(
        Scene.DEAD_LETTER,
        f"{package.name} failed {dead.attempt} times; fixed, replayed: success",
        job_id=job_id,
        attempts_before=dead.attempt,
        attempts=ended.attempt,
        reason=dead.error_message,
        state=ended.state,
    )


async def cancel_in_flight(stage: Stage) -> None:
    """Cancel a running job; its processes end, and so does the job."""
    nap = stage.workshop.soak("nap")
    job_id = (await stage.enqueue(nap)).job_id
    running = await _proven(stage, job_id, "nap")
    stage.board.say(Scene.CANCEL, f"{nap.name} runs on {running.agent_id}: cancel requested")
    asked_at = anyio.current_time()
    await stage.plane.jobs.cancel(job_id, actor="demo", reason="the demo cancels it")
    ended = await stage.ended(job_id)
    seconds = anyio.current_time() - asked_at
    require(ended.state is JobState.CANCELLED, f"{nap.name} ended with {ended.state.value}")
    stage.board.done(
        Scene.CANCEL,
        f"{nap.name} stopped {seconds:.1f} s after the cancel request",
        job_id=job_id,
        seconds=round(seconds, 3),
        state=ended.state,
    )


async def drain_the_last(stage: Stage) -> None:
    """Drain the last agent during a job: it finishes the job first."""
    last = stage.workshop.soak("last")
    job_id = (await stage.enqueue(last)).job_id
    running = await _proven(stage, job_id, "last")
    process = stage.agents[running.agent_id or ""]
    process.terminate()
    stage.board.say(Scene.DRAIN, f"{process.agent_id} got SIGTERM while it runs {last.name}")
    await stage.look()
    await _let_end(stage, "last")
    ended = await stage.ended(job_id)
    code: int | None = None
    with anyio.move_on_after(stage.pace.patience):
        code = await process.wait()
    require(code == 0, f"{process.agent_id} ended with exit code {code}")
    require(
        ended.state is JobState.SUCCESS and ended.attempt == 1,
        f"{last.name} ended with {ended.state.value} at attempt {ended.attempt}",
    )
    agent = await stage.plane.agents.get(process.agent_id)
    stage.board.done(
        Scene.DRAIN,
        f"{process.agent_id} finished {last.name}, then exited: {agent.status.value}",
        agent_id=process.agent_id,
        pid=process.pid,
        exit_code=code,
        job_id=job_id,
        state=ended.state,
        agent_status=agent.status,
    )


async def _proven(stage: Stage, job_id: str, name: str) -> Job:
    """Return the job when it runs, and its process has confirmed that with this fence."""

    async def look() -> Job | None:
        job = await stage.until(job_id, lambda job: job.state is JobState.RUNNING, "to run")
        mark = anyio.Path(stage.place.marks / f"{name}-{job.fence}")
        return job if await mark.exists() else None

    return await stage.patiently(look, f"{name} did not report that it runs")


async def _let_end(stage: Stage, name: str) -> None:
    await anyio.Path(stage.place.marks / f"{name}-may-end").touch()


async def _refused(stage: Stage, job_id: str, token: LeaseToken) -> LeaseLost:
    """Report a success as the dead agent would after a suspend; return the rejection."""
    late = ClaimRef(job_id=job_id, token=token)
    try:
        job = await stage.plane.queue.complete(late, Outcome.exited(0))
    except LeaseLost as refusal:
        return refusal
    raise SceneFailed(f"a stale token was accepted: the job is {job.state.value}")


def _token(job: Job) -> LeaseToken:
    if job.token is None:
        raise SceneFailed(f"job {job.job_id} runs without a token")
    return job.token
