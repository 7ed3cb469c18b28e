"""Jobs that record what they do: a line when they begin, at each step, and when they end.

All jobs append to one file. A line is one write to a file that is open for appending, so the order
of the lines is the order of what the jobs did, whatever the clocks say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import define, field, frozen

if TYPE_CHECKING:
    from pathlib import Path

#: What a job runs.
_SCRIPT: Final = """\
# job.sh LINES STEPS FAILURES HABITS
lines=$1 steps=$2 failures=$3 habits=$4

say() {
    read -r uptime _ </proc/uptime
    echo "$1 $CICD_JOB_ID $CICD_ATTEMPT $CICD_FENCE $$ $uptime $2" >>"$lines"
}

case $habits in *stubborn*) trap '' TERM ;; esac
say begin
case $habits in *parent*)
    (for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 0.2; say child; done) &
    ;;
esac
case $habits in *once*) [ "$CICD_ATTEMPT" -gt 1 ] && steps=0 ;; esac
while [ "$steps" -gt 0 ]; do
    steps=$((steps - 1))
    sleep 0.2
    say step
done
code=0
[ "$CICD_ATTEMPT" -le "$failures" ] && code=3
say end $code
exit $code
"""
#: The exit code of an attempt that is to fail.
FAILURE: Final = 3


@frozen(kw_only=True)
class Line:
    """A line of a job."""

    #: ``begin``, ``step``, ``child`` for a step of a process that the job left behind, or ``end``.
    what: str
    job_id: str
    attempt: int
    fence: int
    pid: int
    #: Seconds since the machine started, which go on while it sleeps (CLOCK_BOOTTIME).
    seconds: float
    #: The exit code, of an end.
    code: int | None
    #: Its place in the file, from 1.
    number: int

    def __str__(self) -> str:
        code = "" if self.code is None else f" with {self.code}"
        return (
            f"line {self.number}: attempt {self.attempt} (fence {self.fence}, pid {self.pid}) "
            f"{self.what}{code} at {self.seconds:.2f} s"
        )


@define
class Witness:
    """The file that jobs append to, and the script that they run."""

    folder: Path
    _script: Path = field(init=False)
    _file: Path = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Write the script."""
        self._script, self._file = self.folder / "job.sh", self.folder / "lines"
        self._script.write_text(_SCRIPT)
        self._file.touch()

    def payload(self, steps: int, failures: int = 0, *habits: str) -> dict[str, Any]:
        """Return the payload of a shell job.

        Args:
            steps: how many it takes, each a fifth of a second.
            failures: how many attempts fail at first.
            habits: ``stubborn``: it dies of SIGKILL alone; ``parent``: it leaves a process behind
                that goes on; ``once``: attempts after the first take no steps.
        """
        numbers = [str(steps), str(failures), " ".join(habits)]
        return {"argv": ["/bin/sh", str(self._script), str(self._file), *numbers]}

    def lines(self) -> list[Line]:
        """Return all lines so far, in their order."""
        text = self._file.read_text("utf-8")
        whole = text[: text.rfind("\n") + 1].splitlines()
        return [_parsed(each, number) for number, each in enumerate(whole, 1)]


def _parsed(text: str, number: int) -> Line:
    what, job_id, attempt, fence, pid, seconds, *code = text.split()
    return Line(
        what=what,
        job_id=job_id,
        attempt=int(attempt),
        fence=int(fence),
        pid=int(pid),
        seconds=float(seconds),
        code=int(code[0]) if code else None,
        number=number,
    )
