"""A log on a page shows what a terminal would, and is never HTML."""

from __future__ import annotations

import re
from html import unescape
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_core.job_logs.ansi import ATTRIBUTES, PLAIN, restyled
from cicd_core.job_logs.rendering import render_log

TAG: Final = re.compile(r'<span class="((?:ansi|log)-[a-z0-9-]+(?: ansi-[a-z0-9-]+)*)">|</span>')
RED: Final = '<span class="ansi-fg-1">'
CLASSES: Final = {
    *ATTRIBUTES.values(),
    *(f"ansi-{place}-{number}" for place in ("fg", "bg") for number in range(16)),
    "log-binary",
}
#: Pieces that terminals and browsers obey, to be mixed.
PIECES: Final = [
    *("\r", "\b", "\n", "\r\n", "\x1b", "\x1b[", "\x1b[K", "\x1b[2K", "\x1b[1K", "\x1b[5D"),
    *("\x1b[3C", "\x1b[99999999999C", "\x1b[7G", "\x1b[31m", "\x1b[1;4;38;5;200m", "\x1b[0m"),
    *(
        "\x1b[48;2;1;2;3m",
        "\x1b[m",
        "\x1b]8;;http://x\x07",
        "\x1b]0;title",
        "\x1bPq\x1b\\",
        "\x1bc",
    ),
    *(
        "<script>alert(1)</script>",
        "&amp;",
        '"onload="',
        "'",
        "é",
        "\u202e",
        "\u2028",
        "\x85",
        "😀",
    ),
]
TEXTS: Final = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=20).map("".join)


def shown(markup: str) -> str:
    """What a reader sees of the markup."""
    return unescape(TAG.sub("", markup))


@pytest.mark.parametrize(
    ("said", "markup"),
    [
        ("plain\n", "plain\n"),
        ("<b>&\"'\n", "&lt;b&gt;&amp;&quot;&#x27;\n"),
        ("\x1b[31mred\x1b[0m plain", '<span class="ansi-fg-1">red</span> plain'),
        ("\x1b[1;31mx\x1b[22my", f'<span class="ansi-bold ansi-fg-1">x</span>{RED}y</span>'),
        ("\x1b[31ma\nb\x1b[mc", f"{RED}a</span>\n{RED}b</span>c"),
        ("\x1b[44;91mx", '<span class="ansi-fg-9 ansi-bg-4">x</span>'),
        ("\x1b[38;5;196mx", '<span class="ansi-fg-9">x</span>'),
        ("\x1b[38;2;0;0;230mx", '<span class="ansi-fg-4">x</span>'),
        ("\x1b[38;5mx\x1b[999m\x1b[38;9;1my", "xy"),
        ("windows\r\nends\r\n", "windows\nends\n"),
        ("10 %\r50 %\r100 %\n", "100 %\n"),
        ("longer\rab\n", "abnger\n"),
        ("longer\r\x1b[Kab\n", "ab\n"),
        ("longer\x1b[2K\rab", "ab"),
        ("ab\bc", "ac"),
        ("abc\x1b[2Dx", "axc"),
        ("a\x1b[3Cb", "a   b"),
        ("\x1b[31mred\r\x1b[32mgr", f'<span class="ansi-fg-2">gr</span>{RED}d</span>'),
        ("\x1b]8;;https://example.org\x07link\x1b]8;;\x07", "link"),
        ("a\x1b[2Jb\x1b(Bc\x1b7d\x1b", "abcd"),
        ("bell\x07", "bell␇"),
    ],
)
def test_a_line_is_shown_as_a_terminal_shows_it(said: str, markup: str) -> None:
    assert render_log(said.encode()) == markup


def test_bytes_that_are_no_utf_8_are_replaced() -> None:
    assert render_log(b"caf\xe9 and caf\xc3\xa9\n") == "caf\N{REPLACEMENT CHARACTER} and café\n"


def test_lines_that_are_no_text_are_counted_together() -> None:
    binary = b"\x7fELF\0\0\n" + bytes(range(0x80, 0x90)) + b"\n"
    assert render_log(b"before\n" + binary + b"after\n") == (
        f'before\n<span class="log-binary">[binary data: {len(binary)} bytes]</span>\nafter\n'
    )


@given(TEXTS)
def test_markup_is_text_and_spans_with_known_classes(said: str) -> None:
    markup = render_log(said.encode("utf-8", "surrogatepass"))
    rest = TAG.sub("", markup)
    assert not {"<", ">", '"', "'"} & {*rest}
    assert re.fullmatch(r"(?:[^&]|&(?:amp|lt|gt|quot|#x27);)*", rest)
    depth = 0
    for tag in TAG.finditer(markup):
        depth += 1 if tag[1] else -1
        assert depth in {0, 1}
        assert {*(tag[1] or "").split()} <= CLASSES
    assert depth == 0


@given(TEXTS)
def test_nothing_is_left_that_a_terminal_or_the_order_of_letters_obeys(said: str) -> None:
    text = shown(render_log(said.encode("utf-8", "surrogatepass")))
    assert not re.search("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


@given(st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs")), max_size=200))
def test_text_without_commands_is_shown_as_it_is(text: str) -> None:
    assert shown(render_log(text.encode())) == text


@given(st.binary(max_size=300))
def test_any_bytes_are_rendered(data: bytes) -> None:
    assert render_log(data).count("<span") == render_log(data).count("</span>")


@given(st.lists(st.sampled_from(["ab", "cde", "f", "\n"]), max_size=12))
def test_a_progress_bar_costs_the_lines_that_are_shown(parts: list[str]) -> None:
    """Where each part is as long as the one before, the last one alone is left of each line."""
    padded = [part if part == "\n" else part.ljust(3) for part in parts]
    lines = "\r".join(padded).replace("\r\n", "\n").replace("\n\r", "\n").split("\n")
    last = [line.rsplit("\r", 1)[-1] for line in lines]
    assert shown(render_log("\n".join(lines).encode())) == "\n".join(last)


def test_a_style_of_nothing_changes_nothing() -> None:
    for parameters in ("x", "39", "22", "-1", "99999999999999999999", "38", "38;5;256", "48;2;1"):
        assert restyled(PLAIN, parameters) == PLAIN
    assert restyled(restyled(PLAIN, "1;31"), "") == PLAIN


def test_what_is_erased_leaves_no_columns_behind() -> None:
    """Each would be filled with spaces after each erasure: the cost would grow with its square."""
    said = b"\x1b[2K\x1b[999Cx" * 1000
    assert len(render_log(said)) <= 201
