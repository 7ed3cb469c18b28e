"""No text that others wrote makes a terminal do something."""

from __future__ import annotations

import io
import json
import logging
import unicodedata
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from cicd_core.cli.logs import log_to_stderr
from cicd_core.cli.output import dump
from cicd_core.cli.screen import facts, line, status, table, text
from cicd_core.printable import printable, printable_json

if TYPE_CHECKING:
    from tests.cli.person import Person

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\x7f\r"


#: What turns the direction of letters, as Unicode classes it.
TURNS = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}


def obeyed(shown: str) -> list[str]:
    """Return what a terminal would obey in a text."""
    return [letter for letter in shown if letter not in "\n\t" and is_obeyed(letter)]


def is_obeyed(letter: str) -> bool:
    return unicodedata.category(letter) == "Cc" or unicodedata.bidirectional(letter) in TURNS


@given(st.text())
@example(ESCAPES)
def test_no_text_is_obeyed(given_text: str) -> None:
    assert obeyed(printable(given_text)) == []
    for shown in (text(given_text), line(given_text), status(given_text)):
        assert obeyed(shown.plain) == []
    console = Console(file=io.StringIO(), width=200, force_terminal=False)
    cells = table("A", "B")
    cells.add_row(text(given_text), line(given_text))
    console.print(cells, facts([("a", given_text), ("b", Text("x"))]))
    assert isinstance(console.file, io.StringIO)
    assert obeyed(console.file.getvalue()) == []


@given(st.text())
@example(ESCAPES)
def test_json_is_the_same_value_and_is_not_obeyed(given_text: str) -> None:
    document = dump({"a": given_text})
    assert json.loads(document) == {"a": given_text}
    assert obeyed(document) == []
    assert json.loads(printable_json(json.dumps(given_text, indent=2))) == given_text


def test_tabs_and_line_ends_stay_and_the_rest_can_be_seen() -> None:
    assert printable("a\tb\nc\r\x1b[0m") == "a\tb\nc\N{SYMBOL FOR CARRIAGE RETURN}␛[0m"


@pytest.mark.parametrize("as_json", [True, False])
def test_a_log_line_is_not_obeyed(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    ours = logging.getLogger("cicd_core")
    before = list(ours.handlers)
    log_to_stderr(verbose=True, quiet=False, as_json=as_json)
    try:
        ours.warning("the agent says %s", ESCAPES)
    finally:
        for handler in set(ours.handlers) - set(before):
            ours.removeHandler(handler)
        ours.propagate = True
        ours.setLevel(logging.NOTSET)
    said = capsys.readouterr().err
    assert "owned" in said
    assert obeyed(said) == []


def test_no_command_lets_the_texts_of_others_through(person: Person) -> None:
    by = ("--actor", f"me{ESCAPES}")
    person.types("deployments", "create", "web", f"1.0{ESCAPES}", "--id", "d1", *by)
    person.types("deployments", "fail", "d1", "--error", f"boom{ESCAPES}", *by)
    job = person.enqueues("build", "--meta", f"a={ESCAPES}", *by)
    person.types("cancel", job, "--reason", f"x{ESCAPES}", *by)
    for words in (
        ["deployments"],
        ["deployments", "show", "d1"],
        ["jobs"],
        ["job", job],
        ["events"],
        ["job", f"no{ESCAPES}"],
        ["cancel", f"no{ESCAPES}"],
        ["summary"],
    ):
        for more in ([], ["--json"]):
            answer = person.types(*words, *more)
            assert obeyed(answer.out + answer.err) == [], words
