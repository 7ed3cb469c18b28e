"""What a holder reports when its attempt has ended."""

from __future__ import annotations

from attrs import frozen

from cicd_core.errors import InvalidInput
from cicd_core.model.job import Verdict


@frozen(kw_only=True)
class Outcome:
    """The end of an attempt. Exit code 0 is a success, and 0 is never "missing"."""

    verdict: Verdict
    exit_code: int | None = None
    error_message: str | None = None
    logs_url: str | None = None
    logs_summary: str | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse an exit code that contradicts the verdict."""
        if not isinstance(self.verdict, Verdict):
            raise InvalidInput("verdict", self.verdict, f"give one of {', '.join(Verdict)}")
        if self.exit_code is None:
            return
        if isinstance(self.exit_code, bool) or not isinstance(self.exit_code, int):
            raise InvalidInput("exit_code", self.exit_code, "give a whole number")
        if (self.exit_code == 0) != (self.verdict is Verdict.SUCCESS) and self.verdict in {
            Verdict.SUCCESS,
            Verdict.FAILED,
        }:
            raise InvalidInput(
                "exit_code",
                self.exit_code,
                f"it contradicts the verdict {self.verdict.value!r}: 0 is a success, all else is a "
                f"failure",
            )

    @classmethod
    def exited(
        cls, exit_code: int, *, logs_url: str | None = None, logs_summary: str | None = None
    ) -> Outcome:
        """Return the outcome of a process: success for 0, failed for anything else."""
        verdict = Verdict.SUCCESS if exit_code == 0 else Verdict.FAILED
        return cls(
            verdict=verdict, exit_code=exit_code, logs_url=logs_url, logs_summary=logs_summary
        )

    @classmethod
    def success(cls, *, logs_url: str | None = None, logs_summary: str | None = None) -> Outcome:
        """Return the outcome of work that did what it should."""
        return cls(verdict=Verdict.SUCCESS, logs_url=logs_url, logs_summary=logs_summary)

    @classmethod
    def failed(
        cls, error_message: str, *, logs_url: str | None = None, logs_summary: str | None = None
    ) -> Outcome:
        """Return the outcome of work that ran and said no."""
        return cls(
            verdict=Verdict.FAILED,
            error_message=error_message,
            logs_url=logs_url,
            logs_summary=logs_summary,
        )

    @classmethod
    def error(
        cls, error_message: str, *, logs_url: str | None = None, logs_summary: str | None = None
    ) -> Outcome:
        """Return the outcome of work that could not run as it should."""
        return cls(
            verdict=Verdict.ERROR,
            error_message=error_message,
            logs_url=logs_url,
            logs_summary=logs_summary,
        )

    @classmethod
    def timeout(
        cls, error_message: str, *, logs_url: str | None = None, logs_summary: str | None = None
    ) -> Outcome:
        """Return the outcome of work that took longer than its ``timeout_seconds``."""
        return cls(
            verdict=Verdict.TIMEOUT,
            error_message=error_message,
            logs_url=logs_url,
            logs_summary=logs_summary,
        )

    @classmethod
    def cancelled(
        cls, error_message: str, *, logs_url: str | None = None, logs_summary: str | None = None
    ) -> Outcome:
        """Return the outcome of work that stopped because a cancel was requested."""
        return cls(
            verdict=Verdict.CANCELLED,
            error_message=error_message,
            logs_url=logs_url,
            logs_summary=logs_summary,
        )
