"""What people read is plain English: these words stand in no text, but where they are listed.

A text is a page, or a docstring, a comment or a string of a source file. A word that has an
ordinary meaning beside the one that is avoided is allowed one sentence at a time, in `ALLOWED`.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]

#: The files and folders whose pages and source files are held to the list.
EDITED = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "changelog.d",
    "docs",
    "examples",
    "src",
)

#: A word, or a pattern of words, and what to write instead.
AVOIDED = {
    r"told": "say who tells what: 'the agent reports', 'unless you set …'",
    r"anew": "again, a new …",
    r"nobody|somebody|anybody|everybody|whoever": "the agent, the caller, you, no process",
    r"mend(?:s|ed|ing)?": "fix, repair",
    r"thereof|wherein|hence|lest|whilst|upon|till|hitherto": "a word that people say",
    r"goes by": "uses, follows",
    r"(?:is|are|was|were) said": "say who says it",
    r"torn": "truncated, partial",
    r"dear(?:er|est)?": "expensive",
    r"whole lot": "all",
    r"what (?:is|was|were|has|had)": "a noun: 'its state', 'the records that are left'",
}

#: Where such a word is the right one: a file, and the words around it.
ALLOWED = {
    "CONTRIBUTING.md": (
        '"nobody", "somebody", "whoever"',
        "(anew, mend, thereof",
        '"it is told"',
        "what it costs is known",
        "hurts nobody",
        "mend what made it fail",
    ),
    "changelog.d/+truncated.changed.md": ("no longer `torn`",),
}

PATTERN = re.compile(rf"\b(?:{'|'.join(AVOIDED)})\b", re.IGNORECASE)


def edited_files() -> Iterator[Path]:
    """Every Markdown and Python file below the edited roots, without what a build makes."""
    for root in (ROOT / name for name in EDITED):
        assert root.exists(), f"{root} is not there"
        found = [root] if root.is_file() else sorted(root.rglob("*"))
        for path in found:
            made = {"_build", "__pycache__", "api"} & set(path.parts)
            if path.suffix in {".md", ".py"} and not made:
                yield path


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """The texts of a file, each with its line: a page is one, a source file has many."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield 1, source
        return
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def avoided_words(text: str, allowed: tuple[str, ...] = ()) -> Iterator[tuple[int, str]]:
    """Each avoided word that stands outside the allowed phrases, with its line in the text.

    Runs of white space count as one space, so that a phrase may go over the end of a line.
    """
    for phrase in allowed:
        spaced = re.escape(phrase).replace(r"\ ", r"\s+")
        text = re.sub(spaced, lambda found: "\n" * found[0].count("\n"), text)
    for found in re.finditer(PATTERN.pattern.replace(" ", r"\s+"), text, re.IGNORECASE):
        yield text.count("\n", 0, found.start()), " ".join(found[0].split())


@pytest.mark.parametrize("root", EDITED)
def test_no_text_has_an_avoided_word(root: str) -> None:
    found: list[str] = []
    for path in edited_files():
        name = path.relative_to(ROOT).as_posix()
        if not (name == root or name.startswith(f"{root}/")):
            continue
        for line, text in texts(path):
            for offset, word in avoided_words(text, ALLOWED.get(name, ())):
                found.append(f"{name}:{line + offset}: {word!r}: write {advice(word)}")
    assert not found, "\n".join(found)


def advice(word: str) -> str:
    return next(text for key, text in AVOIDED.items() if re.fullmatch(key, word, re.IGNORECASE))


def test_every_allowed_phrase_is_still_there() -> None:
    for name, phrases in ALLOWED.items():
        text = " ".join((ROOT / name).read_text(encoding="utf-8").split())
        for phrase in phrases:
            assert phrase in text, f"{name} has no longer {phrase!r}: take it off the list"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Nobody was told.", ["Nobody", "told"]),
        ("It keeps what\n    is left.", ["what is"]),
        ("The agent retold a story to everybody's body", ["everybody"]),
        ("What it does", []),
    ],
)
def test_a_word_is_found_in_any_case_and_over_the_end_of_a_line(
    text: str, words: list[str]
) -> None:
    assert [word for _, word in avoided_words(text)] == words


def test_the_comments_and_strings_of_a_source_file_are_texts(tmp_path: Path) -> None:
    path = tmp_path / "sample.py"
    path.write_text('"""Begun anew."""\ntold = f"{1} upon"  # nobody\n', encoding="utf-8")
    found = [
        (line + offset, word) for line, text in texts(path) for offset, word in avoided_words(text)
    ]
    assert sorted(found) == [(1, "anew"), (2, "nobody"), (2, "upon")]
