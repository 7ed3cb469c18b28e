"""A failure says what was promised, asked and answered."""

from __future__ import annotations

import pytest

from cicd_core.testing.failures import explain, promise_of, readable, surfaced, table
from cicd_core.testing.tracing import TracedCall


def over(verb: str, *arguments: object, answer: object = None) -> TracedCall:
    """Return a call that was answered."""
    return TracedCall(verb, arguments, answer, is_over=True)


def notes_of(error: BaseException) -> str:
    return "\n".join(getattr(error, "__notes__", ()))


def unpacking(wanted: int, came: int) -> ValueError:
    with pytest.raises(ValueError, match="unpack") as caught:
        exec(f"{', '.join(f'a{n}' for n in range(wanted))}, = {[0] * came}", {})  # noqa: S102 - the
        # error is Python's own
    return caught.value


def test_an_error_in_nested_task_groups_surfaces_as_itself() -> None:
    error = AssertionError("the reason")
    group = BaseExceptionGroup("outer", [ExceptionGroup("inner", [error])])
    assert surfaced(group) is error
    assert notes_of(error) == ""


def test_of_several_errors_the_assertion_surfaces_and_names_the_others() -> None:
    group = ExceptionGroup("both", [ValueError("beside\nit"), AssertionError("the reason")])
    error = surfaced(group)
    assert str(error) == "the reason"
    assert notes_of(error) == "another error: ValueError: beside"


def test_an_error_without_a_group_stays_as_it_is() -> None:
    error = ValueError("alone")
    assert surfaced(error) is error


@pytest.mark.parametrize(
    ("wanted", "came", "words"),
    [
        (1, 0, "claim answered nothing instead of 1"),
        (3, 2, "renew answered 2 instead of 3"),
        (1, 2, "the store answered more than 1"),
        (5, 4, "the store answered 4 instead of 5"),
    ],
)
def test_a_wrong_number_of_answers_is_said_in_words(wanted: int, came: int, words: str) -> None:
    calls = [over("renew", answer=[1, 2]), over("claim", answer=[]), over("get", answer={})]
    error = readable(unpacking(wanted, came), calls)
    assert isinstance(error, AssertionError)
    assert str(error) == words


def test_an_answer_of_none_names_its_verb() -> None:
    bare = AssertionError("assert None is not None")
    error = readable(bare, [over("claim"), over("renew")])
    assert str(error) == "renew answered None instead of a value"


def test_a_bare_assertion_says_what_does_not_hold() -> None:
    page = object()
    with pytest.raises(AssertionError) as caught:
        assert page is None
    caught.value.args = ("assert False",)
    assert str(readable(caught.value, [])) == "this does not hold: page is None"


def test_a_wait_that_did_not_end_names_the_calls_under_way() -> None:
    error = readable(TimeoutError(), [over("commit"), TracedCall("wait", ("lane", 60.0))])
    assert str(error) == "nothing arrived in time; under way: wait"


def test_other_errors_stay_as_they_are() -> None:
    for error in (AssertionError("assert [] == [1]"), ValueError("odd"), KeyError("a")):
        assert readable(error, []) is error


def test_an_explanation_names_the_promise_and_the_last_calls_first() -> None:
    error = AssertionError("assert [1] == [None]")
    calls = [over("now"), over("claim", "all", answer=[]), over("renew", "a", "b", answer=[1])]
    explain(error, "another claim cannot renew", "RenewalPromises", calls)
    assert notes_of(error).splitlines() == [
        "the promise (RenewalPromises): another claim cannot renew",
        "asked:     renew('a', 'b')",
        "answered:  [1]",
        "asked:     claim('all')",
        "answered:  []",
    ]


def test_an_explanation_tells_errors_and_calls_under_way_from_answers() -> None:
    failed = TracedCall("get", (), error=KeyError("x"), is_over=True)
    error = AssertionError("assert 1 == 2")
    explain(error, "p", "T", [failed, TracedCall("wait", ())])
    assert notes_of(error).splitlines()[1:] == [
        "asked:     wait()",
        "answered:  nothing yet",
        "asked:     get()",
        "answered:  raised KeyError('x')",
    ]


def test_a_long_answer_is_cut() -> None:
    error = AssertionError("assert 1 == 2")
    explain(error, "p", "T", [over("get", answer="x" * 10_000)])
    assert len(notes_of(error)) < 1000


@pytest.mark.parametrize(
    ("test", "promise"),
    [
        ("test_a_lease_ends", "a lease ends"),
        ("test_a_lease_ends[0-True]", "a lease ends [0-True]"),
    ],
)
def test_a_promise_is_the_name_of_its_test(test: str, promise: str) -> None:
    assert promise_of(test) == promise


def test_a_table_aligns_its_columns() -> None:
    assert table([("suite", "calls"), ("A", "1,000"), ("Long one", "7")]) == [
        "suite     calls",
        "A         1,000",
        "Long one      7",
    ]
