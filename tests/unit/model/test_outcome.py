"""What a holder may report: an exit code that fits the verdict, and texts that can be kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cicd_core.errors import InvalidInput, TooLarge
from cicd_core.model.job import Verdict
from cicd_core.model.outcome import MAX_URL, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

V = Verdict


@pytest.mark.parametrize("exit_code", [1, 2, 127, 255, -9, 0xC0000005])
def test_a_process_that_exits_otherwise_than_with_0_has_failed(exit_code: int) -> None:
    outcome = Outcome.exited(exit_code, logs_url="file:///log", logs_summary="the end")
    assert outcome == Outcome(
        verdict=V.FAILED, exit_code=exit_code, logs_url="file:///log", logs_summary="the end"
    )


def test_exit_code_0_is_a_success_and_never_missing() -> None:
    outcome = Outcome.exited(0)
    assert (outcome.verdict, outcome.exit_code) == (V.SUCCESS, 0)
    assert Outcome.success().exit_code is None


@pytest.mark.parametrize(
    ("make", "verdict"),
    [
        (Outcome.failed, V.FAILED),
        (Outcome.error, V.ERROR),
        (Outcome.timeout, V.TIMEOUT),
        (Outcome.cancelled, V.CANCELLED),
    ],
)
def test_every_other_end_says_why(make: Callable[..., Outcome], verdict: Verdict) -> None:
    outcome = make("the reason", logs_url="u", logs_summary="s")
    assert outcome == Outcome(
        verdict=verdict, error_message="the reason", logs_url="u", logs_summary="s"
    )


@pytest.mark.parametrize(("verdict", "exit_code"), [(V.SUCCESS, 1), (V.SUCCESS, -9), (V.FAILED, 0)])
def test_an_exit_code_that_contradicts_the_verdict_is_refused(
    verdict: Verdict, exit_code: int
) -> None:
    with pytest.raises(InvalidInput, match=f"contradicts the verdict '{verdict.value}'") as refused:
        Outcome(verdict=verdict, exit_code=exit_code)
    assert refused.value.field == "exit_code"


@pytest.mark.parametrize("verdict", [V.ERROR, V.TIMEOUT, V.CANCELLED])
@pytest.mark.parametrize("exit_code", [0, 1])
def test_what_was_cut_short_may_have_exited_in_any_way(verdict: Verdict, exit_code: int) -> None:
    assert Outcome(verdict=verdict, exit_code=exit_code).exit_code == exit_code


@pytest.mark.parametrize("verdict", [None, "successful", 0])
def test_an_exit_code_with_no_verdict_is_refused(verdict: Any) -> None:
    with pytest.raises(InvalidInput, match="give one of success, failed") as refused:
        Outcome(verdict=verdict, exit_code=1)
    assert refused.value.field == "verdict"


@pytest.mark.parametrize(
    "exit_code",
    [
        True,
        1.0,
        "1",
        2**32,
        -(2**31) - 1,
        pytest.param(10**5000, id="more digits than Python writes"),
    ],
)
def test_an_exit_code_that_no_process_has_is_refused(exit_code: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        Outcome(verdict=V.ERROR, exit_code=exit_code)
    assert refused.value.field == "exit_code"


def test_bytes_of_an_output_that_were_no_text_do_not_keep_work_from_ending() -> None:
    outcome = Outcome.failed("caf\udce9", logs_summary="\udcff!")
    assert (outcome.error_message, outcome.logs_summary) == ("caf?", "?!")


@pytest.mark.parametrize("field", ["error_message", "logs_summary", "logs_url"])
def test_what_is_no_text_is_refused_by_its_name(field: str) -> None:
    texts: dict[str, Any] = {field: ValueError("boom")}
    with pytest.raises(InvalidInput) as refused:
        Outcome(verdict=V.ERROR, **texts)
    assert refused.value.field == field


def test_an_address_is_never_cut() -> None:
    assert Outcome.success(logs_url="u" * MAX_URL).logs_url == "u" * MAX_URL
    with pytest.raises(TooLarge) as refused:
        Outcome.success(logs_url="u" * (MAX_URL + 1))
    with pytest.raises(TooLarge):
        Outcome.success(logs_url="ü" * (MAX_URL // 2 + 1))
    assert refused.value.field == "logs_url"
