"""The result of an attempt, as its holder reports it."""

from __future__ import annotations

from attrs import field

from cicd_core.errors import InvalidInput
from cicd_core.model.checks import check_bytes, check_integer, check_text, storable
from cicd_core.model.choices import check_choice, taken_as
from cicd_core.model.job import Verdict
from cicd_core.values import frozen

#: The most bytes of the address of an attempt's logs.
MAX_URL = 2048


def _message(text: str | None) -> str | None:
    return storable("error_message", text)


def _summary(text: str | None) -> str | None:
    return storable("logs_summary", text)


def _verdict(value: Verdict | str) -> Verdict:
    return value if type(value) is Verdict else taken_as(value, Verdict)


@frozen(kw_only=True)
class Outcome:
    """The result of an attempt. Exit code 0 is a success, never a missing code."""

    #: The verdict, as a member or its text.
    verdict: Verdict = field(converter=_verdict)
    #: The exit code of the process: 0 for success and another one for failed, -2**31 to 2**32 - 1.
    #: None (the default): there was no process.
    exit_code: int | None = None
    #: The error, for people: the last 4,096 bytes are kept. None: not given.
    error_message: str | None = field(default=None, converter=_message)
    #: The address of the attempt's log: at most 2,048 bytes. None (the default): set by the agent.
    logs_url: str | None = None
    #: The end of the log, for people: the last 16,384 bytes are kept. None (the default): the agent
    #: sends it only if created with ``send_log_tail``.
    logs_summary: str | None = field(default=None, converter=_summary)

    def __attrs_post_init__(self) -> None:
        """Refuse an invalid address, and an exit code that contradicts the verdict."""
        if self.logs_url is not None:
            check_bytes(
                "logs_url", check_text("logs_url", self.logs_url, most=MAX_URL), most=MAX_URL
            )
        check_choice("verdict", self.verdict, Verdict)
        if self.exit_code is None:
            return
        check_integer("exit_code", self.exit_code, least=-(2**31), most=2**32 - 1)
        if (self.exit_code == 0) != (self.verdict is Verdict.SUCCESS) and self.verdict in {
            Verdict.SUCCESS,
            Verdict.FAILED,
        }:
            raise InvalidInput(
                "exit_code",
                self.exit_code,
                f"it contradicts the verdict {self.verdict.value!r}: 0 is a success, others are "
                f"failures",
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
        """Return the outcome of work that succeeded."""
        return cls(verdict=Verdict.SUCCESS, logs_url=logs_url, logs_summary=logs_summary)

    @classmethod
    def failed(
        cls, error_message: str, *, logs_url: str | None = None, logs_summary: str | None = None
    ) -> Outcome:
        """Return the outcome of work that ran and failed."""
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
        """Return the outcome of work that could not run properly."""
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
