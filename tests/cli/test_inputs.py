"""What people type becomes what the library takes, or is refused by the name of its field."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from cicd_core.cli import inputs
from cicd_core.errors import InvalidInput
from cicd_core.model.job import JobStatus, Priority, Verdict

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2030, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("text", ["high", "HIGH", " High "])
def test_a_choice_is_found_in_any_case(text: str) -> None:
    assert inputs.choose("priority", text, Priority) is Priority.HIGH


def test_an_unknown_choice_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(InvalidInput, match=r"status: 'broken' .* give one of pending, queued") as e:
        inputs.choose("status", "broken", JobStatus)
    assert e.value.field == "status"


def test_a_list_of_choices_is_split_at_commas() -> None:
    chosen = inputs.choose_some("retry-on", "failed, ERROR,failed", Verdict)
    assert chosen == (Verdict.FAILED, Verdict.ERROR)


@pytest.mark.parametrize("text", ["", "none", "None"])
def test_a_list_of_choices_may_be_empty(text: str) -> None:
    assert inputs.choose_some("retry-on", text, Verdict) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", 90),
        ("1.5", 1.5),
        ("250ms", 0.25),
        ("30s", 30),
        ("5m", 300),
        ("2H", 7200),
        ("1d", 86400),
    ],
)
def test_a_duration_is_a_number_of_seconds_or_has_a_unit(text: str, expected: float) -> None:
    assert inputs.seconds("timeout", text) == expected


@pytest.mark.parametrize("text", ["", "-1", "1e3", "nan", "inf", "5 minutes", "9" * 400])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="give seconds, or a duration"):
        inputs.seconds("timeout", text)


def test_duration_means_a_moment_before_now() -> None:
    assert inputs.moment("since", "2h", NOW) == NOW - timedelta(hours=2)


def test_an_instant_is_read_in_its_own_time_zone() -> None:
    expected = datetime(2030, 1, 31, 7, tzinfo=UTC)
    assert inputs.moment("since", "2030-01-31T08:00:00+01:00", NOW) == expected


@pytest.mark.parametrize(
    "text", ["yesterday", "2030-01-31T08:00:00", "2030-13-01T00:00:00Z", "9" * 9 + "w"]
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"since: .* give ISO 8601 with a time zone"):
        inputs.moment("since", text, NOW)


def test_pairs_are_split_at_the_first_equals_sign() -> None:
    assert inputs.pairs("meta", ["a=1", "b=x=y", "a=2"]) == {"a": "2", "b": "x=y"}


@pytest.mark.parametrize("text", ["a", "=1", ""])
def test_what_is_no_pair_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="give name=value"):
        inputs.pairs("meta", [text])


def test_a_json_object_may_stand_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "payload.json"
    path.write_text('{"name": "é"}', encoding="utf-8")
    assert inputs.json_option("payload", f"@{path}") == {"name": "é"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "it is not JSON"),
        ("[1]", "give a JSON object"),
        ("@nowhere.json", "No such file"),
        ("[" * 100_000, "it is not JSON"),
        ("[" * 65 + "]" * 65, "nests deeper than 64"),
        ('{"a": 1, "a": 2}', "the key 'a' appears twice"),
        ('{"a": NaN}', "NaN is not a JSON number"),
    ],
)
def test_what_is_no_json_object_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=f"payload: .*{reason}"):
        inputs.json_option("payload", text)


def test_the_text_itself_names_no_file() -> None:
    with pytest.raises(InvalidInput, match="it is not JSON"):
        inputs.json_object("job", "@/etc/hostname")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match="not UTF-8 text"):
        inputs.read_text("from", str(path))


def test_a_folder_on_this_machine_becomes_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    git = inputs.git_context(".", "main", None)
    assert git is not None
    assert git.repo == str(tmp_path.resolve())


def test_a_url_of_a_repository_stays_as_it_is() -> None:
    git = inputs.git_context("https://example.org/app.git", None, "abc")
    assert git is not None
    assert git.repo == "https://example.org/app.git"


def test_a_commit_of_no_repository_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"sha: .* with --repo"):
        inputs.git_context(None, None, "abc")


def test_who_asks_is_the_user_unless_somebody_else_is_named() -> None:
    assert inputs.asker("release-bot") == "release-bot"
    assert inputs.asker(None)


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("17", 17), ("4k", 4096), ("64M", 2**26), (" 10GiB ", 10 * 2**30), ("1TB", 2**40)],
)
def test_a_size_is_a_number_of_bytes(text: str, size: int) -> None:
    assert inputs.size("limit", text) == size


@pytest.mark.parametrize("text", ["", "M", "-1", "1.5M", "1E", "1" * 16, "\u0663"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"limit: .* 64M"):
        inputs.size("limit", text)
