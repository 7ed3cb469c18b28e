"""A program that embeds an agent and tells on its output what it does; run by the signal tests."""

from __future__ import annotations

import json
import sys

import anyio

from cicd_core.agent import Agent, JobRun
from tests.runtime.fake_source import FakeSource


def say(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


async def main(seconds: float) -> None:
    """Run two jobs: one ends when the agent drains, the other one never."""
    source = FakeSource()
    agent = Agent(source, slots=2, grace_seconds=seconds)

    @agent.handler("ends")
    async def end(run: JobRun) -> None:
        say(began=run.job.job_type)
        await source.until(lambda: source.called("drain"))

    @agent.handler("endless")
    async def never(run: JobRun) -> None:
        say(began=run.job.job_type)
        await anyio.sleep_forever()

    source.add("ends", job_id="ends")
    source.add("endless", job_id="endless")
    source.on_call("complete", lambda _: say(reports=True))
    await agent.run()
    say(
        outcomes={job: outcome.verdict.value for job, outcome in source.outcomes.items()},
        releases=source.releases,
        gone=bool(source.called("deregister")),
    )


if __name__ == "__main__":
    anyio.run(main, float(sys.argv[2]), backend=sys.argv[1])
