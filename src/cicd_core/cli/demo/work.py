"""The jobs of a demo: their commands and commits."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

from cicd_core.cli.demo.place import Place
from cicd_core.cli.demo.repository import Commit, Repository
from cicd_core.ids import IdSource
from cicd_core.model.job import Delivery, Priority, RetryPolicy, Verdict
from cicd_core.model.spec import JobSpec
from cicd_core.values import evolve, frozen

#: Time limit of a job, in seconds.
_TIMEOUT: Final = 300.0
#: Short waits, so that a lost agent does not delay the demo.
_QUICK: Final = RetryPolicy(max_attempts=5, backoff_base=0.3, backoff_max=2.0)

_COUNT: Final = """
set -e
echo "$(git ls-files | wc -l) files"
echo "$(git archive --format=tar HEAD | wc -c) bytes in an archive"
git log -1 --format='%h %s'
"""

# Runs until a file lets it end; its log has the number of checks. The file that it creates first
# proves that it runs with this fence.
_SOAK: Final = """
: > "$MARKS/$NAME-$CICD_FENCE"
rounds=0
while [ -d "$MARKS" ] && [ ! -e "$MARKS/$NAME-may-end" ] && [ "$rounds" -lt 600 ]; do
  git ls-files | wc -l
  rounds=$((rounds + 1))
  sleep 0.1
done
echo "$rounds rounds"
[ -e "$MARKS/$NAME-may-end" ]
"""

_PACKAGE: Final = """
if [ ! -f "$MARKS/signing.key" ]; then
  echo 'signing.key is missing' >&2
  exit 7
fi
git archive --format=tar HEAD | cksum
"""

_STAGE: Final = """
set -e
mkdir -p "$SITE/releases/$SHA"
git archive --format=tar HEAD | tar -x -f - -C "$SITE/releases/$SHA"
ls "$SITE/releases/$SHA" | wc -l
"""

# Replacing a symbolic link is atomic: there is never a partial release, or none.
_SWITCH: Final = """
import os
from pathlib import Path
site, sha = Path(os.environ["SITE"]), os.environ["SHA"]
current, following = site / "current", site / ("next-" + os.environ["CICD_FENCE"])
if sha:
    following.symlink_to(Path("releases", sha))
    following.replace(current)
else:
    current.unlink(missing_ok=True)
print("current is", os.readlink(current) if sha else "gone")
"""


@frozen(kw_only=True)
class Work:
    """A job to create, with its name for people."""

    name: str
    spec: JobSpec


class ExecutorContext:
    """Creates the jobs of a demo."""

    def __init__(self, repository: Repository, place: Place, pool_name: str, seed: int) -> None:
        """Take the repository, the folder, the pool and the seed."""
        self._repository = repository
        self._place = place
        #: The pool of the agents.
        self.pool_name = pool_name
        self._dice = IdSource(seed)

    def bulk(self, test_command: str | None) -> Iterator[Work]:
        """Yield the jobs of all commits, with mixed priorities."""
        for commit in self._repository.commits:
            if self._repository.has_python:
                argv = [sys.executable, "-m", "compileall", "-q", "."]
                yield self._mixed(self._made("compile", commit, {"argv": argv}))
            yield self._mixed(self._made("count", commit, {"shell": _COUNT}))
            if test_command is not None:
                yield self._mixed(self._made("test", commit, {"shell": test_command}))

    def soak(self, name: str = "soak") -> Work:
        """Return a job that runs until the file ``<name>-may-end`` exists."""
        work = self._made(name, self._repository.commits[0], {"shell": _SOAK})
        return _with(work, priority=Priority.CRITICAL)

    def package(self) -> Work:
        """Return a job that fails until the signing key exists; failures are retried."""
        policy = RetryPolicy(
            max_attempts=3,
            retry_on=(Verdict.FAILED, Verdict.ERROR),
            backoff_base=0.3,
            backoff_max=1.0,
        )
        work = self._made("package", self._repository.commits[0], {"shell": _PACKAGE})
        return _with(work, priority=Priority.HIGH, retry=policy)

    def small(self, name: str, commit: Commit | None = None, **fields: Any) -> Work:
        """Return a short job that describes a commit."""
        line = {"shell": "git log -1 --stat --format='%h %an: %s' | tail -n 20"}
        return _with(self._made(name, commit or self._repository.commits[0], line), **fields)

    def stage(self, commit: Commit) -> Work:
        """Return the job that puts a release into staging."""
        return _with(self._made("stage", commit, {"shell": _STAGE}), priority=Priority.HIGH)

    def switch(self, name: str, commit: Commit, *, release: Commit | None) -> Work:
        """Return the job that puts a release into production, or removes it.

        It runs at most once: a lost agent must not switch twice.
        """
        payload = {"argv": [sys.executable, "-c", _SWITCH]}
        work = self._made(name, commit, payload, sha="" if release is None else release.sha)
        return _with(work, priority=Priority.CRITICAL, delivery=Delivery.AT_MOST_ONCE)

    def _made(
        self, name: str, commit: Commit, payload: dict[str, Any], *, sha: str | None = None
    ) -> Work:
        shown = f"{name} {commit.short}"
        variables = {
            "MARKS": str(self._place.marks),
            "SITE": str(self._place.site),
            "NAME": name,
            "SHA": commit.sha if sha is None else sha,
        }
        checkout = {"repo": str(self._place.mirror), "commit_sha": commit.sha}
        spec = JobSpec(
            job_type="shell",
            pool_name=self.pool_name,
            payload={**payload, "env": variables, "checkout": checkout},
            git=self._repository.context(commit),
            tags=("demo", name),
            metadata={"name": shown},
            retry=_QUICK,
            timeout_seconds=_TIMEOUT,
        )
        return Work(name=shown, spec=spec)

    def _mixed(self, work: Work) -> Work:
        """Return the job with a priority from the seed."""
        mix = (Priority.HIGH, Priority.NORMAL, Priority.NORMAL, Priority.LOW)
        return _with(work, priority=mix[int(self._dice.jitter() * len(mix))])


def _with(work: Work, **fields: Any) -> Work:
    return evolve(work, spec=evolve(work.spec, **fields))
