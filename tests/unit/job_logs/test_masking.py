"""Secrets are hidden before a log leaves, wherever its pieces are cut."""

from __future__ import annotations

import base64
import json
from itertools import pairwise
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cicd_core import InvalidInput
from cicd_core.job_logs.masking import LogMasker, LogMasks

if TYPE_CHECKING:
    from collections.abc import Iterable

KEY: Final = (
    b"-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\nabcdef==\n-----END RSA PRIVATE KEY-----"
)
TOKEN: Final = f"cicd_{'0' * 16}_{'a' * 64}".encode()
SECRETS: Final = ("hunter2-and-more", "s3cr3t", "päss wörd")
MASKS: Final = LogMasks.of(
    values=SECRETS, patterns=[r"sk_live_\w+", r"pin=(?P<secret>\d+)", r"^first\b", r"\blast$"]
)
#: Pieces of logs, with secrets whole and in parts.
PIECES: Final = [
    *(b"plain text ", b"\n", b"\r\n", b"\r", b"=", b"://", b"@", b"***", b"\xff\x00", b"hunter2"),
    *(
        b"-and-more",
        b"s3cr3",
        b"t",
        b"sk_live_",
        b"abc123",
        b"pin=",
        b"42",
        KEY,
        KEY[:40],
        KEY[40:],
    ),
    *(b"https://ada:pass@example.org/x", TOKEN, TOKEN[:30], TOKEN[30:], b"Authorization: Bearer "),
    *(secret.encode() for secret in SECRETS),
    *(b"Authorization:", b"my_secret =", b"a" * 16, b"first", b"last", b"eyJaaaaaaaa.eyJaaaaaaaa."),
]
LOGS: Final = st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=12).map(b"".join)


def masked(pieces: Iterable[bytes], masks: LogMasks = MASKS) -> bytes:
    masker = LogMasker(masks)
    return b"".join([*map(masker.feed, pieces), masker.feed(b"", final=True)])


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    borders = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[begin:end] for begin, end in pairwise(borders)]


@given(LOGS, st.lists(st.integers(min_value=0), max_size=8))
@example(KEY + b"hunter2-and-more", [len(KEY) + 1])
@example(KEY + b"eyJaaaaaaaa.eyJaaaaaaaa.", [len(KEY) + 1])
@example(b"Authorization:\nBearer", [15])
@example(b"my_secret =\n" + b"a" * 16, [13])
@example(KEY + b"first", [len(KEY)])
@example(b"a\rfirst", [2])
@example(b"last\r\n", [5])
def test_where_a_log_is_cut_changes_nothing(data: bytes, places: list[int]) -> None:
    assert masked(cut(data, places)) == masked([data])


@given(LOGS, st.lists(st.integers(min_value=0), max_size=8))
def test_no_known_secret_leaves(data: bytes, places: list[int]) -> None:
    shown = masked(cut(data, places))
    for secret in (*(each.encode() for each in SECRETS), TOKEN, KEY):
        assert secret not in shown


@given(st.lists(st.sampled_from([b"plain", b"\n", b" ", b"\xff", b"1 = 2"]), max_size=20))
def test_a_log_without_secrets_leaves_as_it_is(pieces: list[bytes]) -> None:
    assert masked(pieces) == b"".join(pieces)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (b"the password is s3cr3t!\n", b"the password is ***!\n"),
        (b"s3cr3ts3cr3t", b"***"),
        ("päss wörd".encode(), b"***"),
        (quote("päss wörd", safe="").encode(), b"***"),
        (json.dumps("päss wörd").encode(), b'"***"'),
        (base64.b64encode(b"hunter2-and-more"), b"***"),
        (b"sk_live_abc and pin=42;", b"*** and pin=***;"),
        (b"clone https://ada:pw@example.org/x.git", b"clone https://***@example.org/x.git"),
        (b"> Authorization: Bearer abc.def", b"> Authorization: ***"),
        (b"ghp_" + b"a1" * 20, b"***"),
        (b"AKIAIOSFODNN7EXAMPLE", b"***"),
        (b"AWS_SECRET_KEY=" + b"wJalrXUtnFEMI/K7MDENG/bPxRfiCY", b"AWS_SECRET_KEY=***"),
        (b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", b"***"),
        (b"key " + TOKEN + b".", b"key ***."),
        (b"a\n" + KEY + b"\nb", b"a\n***\nb"),
        (b"a\n" + KEY[:60], b"a\n***"),
        (b"npm http fetch GET 200 https://registry.npmjs.org/@types/node",
         b"npm http fetch GET 200 https://registry.npmjs.org/@types/node"),
    ],
)  # fmt: skip
def test_a_secret_is_hidden(said: bytes, shown: bytes) -> None:
    assert masked([said]) == shown
    assert masked(said[at : at + 1] for at in range(len(said))) == shown


def test_a_stretch_of_secrets_is_one_mask_in_a_long_line_too() -> None:
    secret = SECRETS[0].encode()
    masker = LogMasker(MASKS)
    shown = b"".join(masker.feed(secret * 100) for _ in range(100))
    assert shown + masker.feed(b"\n", final=True) == b"***\n"


def test_a_pattern_sees_a_line_without_its_end() -> None:
    said = b"first\r\nnot first\nfirst\rlast\r\nlast not\n"
    assert masked([said]) == b"***\r\nnot first\n***\r***\r\nlast not\n"


def test_what_leaves_waits_for_no_more_than_the_end_of_its_line() -> None:
    masker = LogMasker(MASKS)
    assert masker.feed(b"one\ntw") == b"one\n"
    assert masker.feed(b"o\rthree") == b"two\r"
    assert masker.feed(b"", final=True) == b"three"


@pytest.mark.parametrize("chunk", [1000, 4096, 300_000])
def test_a_long_line_leaves_while_it_goes_on_and_its_secrets_do_not(chunk: int) -> None:
    filler = b"x" * 49_999 + b" "
    line = b"".join(filler + secret.encode() for secret in SECRETS for _ in range(10))
    masker = LogMasker(MASKS)
    shown, most = b"", 0
    for begin in range(0, len(line), chunk):
        shown += masker.feed(line[begin : begin + chunk])
        most = max(most, min(begin + chunk, len(line)) - len(shown))
    shown += masker.feed(b"", final=True)
    assert shown == (filler + b"***") * 30
    assert most <= 64 * 1024 + chunk + 30 * 16


def test_a_secret_without_an_end_hides_its_line_and_holds_no_memory() -> None:
    masker = LogMasker(MASKS)
    shown = masker.feed(b"sk_live_")
    for _ in range(100):
        shown += masker.feed(b"a" * 10_000)
    assert len(masker._rest) <= 80_000  # noqa: SLF001 - what is held is what is tested
    shown += masker.feed(b" the rest of the line\nnext\n")
    assert shown == b"***\nnext\n"


def test_a_key_without_an_end_hides_as_much_as_a_key_may_have() -> None:
    lines = b"line after line\n" * 2000
    shown = masked([KEY[:31] + b"\n" + lines])
    assert shown.startswith(b"***")
    assert len(lines) - 17 * 1024 < len(shown) < len(lines) - 15 * 1024


def test_a_value_of_several_lines_is_hidden_line_by_line() -> None:
    masks = LogMasks.of(values=["first line\nab\nsecond line\n"])
    assert masked([b"> first line\n> ab\n> second line\n"], masks) == b"> ***\n> ab\n> ***\n"


def test_variables_with_the_names_of_secrets_are_hidden() -> None:
    variables = {
        "DEPLOY_TOKEN": "aaaaaaaa-1",
        "db_password": "bbbbbbbb-2",
        "API_KEYS": "short",
        "AUTHOR": "cccccccc-3",
        "KEYBOARD": "dddddddd-4",
        "SECRET": 5,
    }
    masks = LogMasks().with_variables(variables)
    said = b"aaaaaaaa-1 bbbbbbbb-2 short cccccccc-3 dddddddd-4"
    assert masked([said], masks) == b"*** *** short cccccccc-3 dddddddd-4"
    assert MASKS.with_variables({"PATH": "/usr/bin"}) is MASKS


def test_a_folder_is_no_secret_and_a_name_without_a_separator_may_be_one() -> None:
    variables = {"PWD": "/home/ci", "TOKENIZER": "tokenizer", "OLDPWD": "/home/a-1"}
    assert MASKS.with_variables(variables) is MASKS
    for name in ("PGPASSWORD", "DB_PWD", "MYPWD", "accessToken", "SECRETS"):
        masks = LogMasks().with_variables({name: "aaaaaaaa-1"})
        assert masked([b"is aaaaaaaa-1"], masks) == b"is ***", name


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"values": ["abc"]}, r"values\[0\]"),
        ({"values": ["long enough", " a \n b "]}, r"values\[1\]"),
        ({"values": "text"}, "values"),
        ({"values": [7]}, r"values\[0\]"),
        ({"patterns": ["("]}, r"patterns\[0\]"),
        ({"patterns": ["a*"]}, r"patterns\[0\]"),
        ({"patterns": "a"}, "patterns"),
    ],
)
def test_masks_that_hide_nothing_or_everything_are_refused(
    arguments: dict[str, list[str]], field: str
) -> None:
    with pytest.raises(InvalidInput, match=f"^{field}") as refused:
        LogMasks.of(**arguments)
    assert "abc" not in str(refused.value)


SECRET_NAMES: Final = (
    *(
        "SSHPASS",
        "DBPASS",
        "SMTP_PASS",
        "GITHUB_PAT",
        "PAT",
        "ADO_PAT",
        "GHPAT",
        "pat",
        "SENTRY_DSN",
    ),
    *(
        "DSN",
        "COOKIE",
        "SESSION_COOKIE",
        "COOKIES",
        "SSH_PRIVATE",
        "GPG_PRIVATE_PEM",
        "APP_PRIVATEKEY",
    ),
    *("PRIVATE_KEY", "SECRETKEY", "AWS_ACCESSKEY", "ID_JWT", "AZURE_STORAGE_CONNECTION_STRING"),
    *(
        "SLACK_WEBHOOK_URL",
        "BEARER",
        "PASSCODE",
        "API_KEY",
        "DEPLOY_TOKEN",
        "DB_PASSWORD",
        "DB_PWD",
    ),
)
PLAIN_NAMES: Final = (
    *("PATH", "PATCH", "PATTERN", "COMPAT", "PATHS", "GLIBC_COMPAT", "EXPAT_HOME", "PYTHONPATH"),
    *("SSH_ASKPASS", "GIT_ASKPASS", "BYPASS", "CACHE_BYPASS", "COMPASS", "TRESPASS", "PASSENGER"),
    *(
        "PWD",
        "OLDPWD",
        "COOKIE_DOMAIN",
        "COOKIE_NAME",
        "PRIVATE_NETWORK",
        "PRIVATE_IP",
        "PRIVATE_DNS",
    ),
    *("JWT_ISSUER", "MONKEY", "KEYBOARD", "HOSTNAME", "DSNAME", "MYDSNS", "AUTHOR", "DATABASE_URL"),
)


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_the_value_of_a_variable_with_the_name_of_a_secret_is_hidden(name: str) -> None:
    masks = LogMasks.of().with_variables({name: "correct horse"})
    assert masked([b"it is correct horse\n"], masks) == b"it is ***\n"


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_the_value_of_a_variable_with_another_name_is_shown(name: str) -> None:
    masks = LogMasks.of().with_variables({name: "correct horse"})
    assert masked([b"it is correct horse\n"], masks) == b"it is correct horse\n"


@pytest.mark.parametrize(
    ("value", "said", "shown"),
    [
        ("postgres://ada:s%C3%A9same-1@db/ci", "sésame-1, s%C3%A9same-1", "***, ***"),
        ("redis://:open-sesame@cache:6379/0?x=@", "open-sesame", "***"),
        ("https://ada@example.org/open-sesame", "ada open-sesame", "ada open-sesame"),
        ("https://example.org/a:open-sesame@b", "open-sesame", "open-sesame"),
        ("https://ada:short@example.org", "short", "short"),
        ("the mail of ada:open-sesame@example.org", "open-sesame", "open-sesame"),
    ],
)
def test_the_password_of_a_url_is_hidden_where_it_stands_alone(
    value: str, said: str, shown: str
) -> None:
    masks = LogMasks.of().with_variables({"DATABASE_URL": value})
    assert masked([said.encode()], masks) == shown.encode()


@pytest.mark.parametrize("behind", range(4076, 4126))
def test_a_secret_in_a_long_line_stays_with_what_shows_that_it_is_one(behind: int) -> None:
    before = b"x" * 70_000
    masker = LogMasker(MASKS)
    shown = masker.feed(before + b" https://ada:hunter@example.org/ pin=4242 " + b"y" * behind)
    shown += masker.feed(b"\n", final=True)
    assert shown == before + b" https://***@example.org/ pin=*** " + b"y" * behind + b"\n"


def test_a_secret_that_goes_on_behind_the_window_is_hidden_to_its_end() -> None:
    masker, before = LogMasker(MASKS), b"x" * 70_000 + b" Authorization: "
    shown = masker.feed(before + b"s" * 5000) + masker.feed(b"s" * 5000 + b"\nplain\n")
    assert shown == before + b"***\nplain\n"
