"""Masks secrets in a log before it leaves the agent.

A secret is either a known value (from a variable or a file) or has a form that only secrets have (a
token of a known service, the password of a URL, a private key). Adjacent secrets become one
``***``.

A log arrives in pieces, and a secret may cross their border. The masker therefore holds back the
last line until it has its end, and a private key until its last line has ended. Of a line longer
than 64 KiB, or a key longer than 16 KiB, it holds back only the last 4 KiB, or as many bytes as the
longest known value has.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, unquote

from cicd_core.errors import InvalidInput
from cicd_core.model.checks import check_kind
from cicd_core.redaction import HIDDEN
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: Minimum length of a value that is named as a secret, and of one that only looks like a secret.
LEAST_VALUE: Final = 4
_LEAST_GUESSED: Final = 8
#: Maximum length of a line, and of a private key, that is searched as a whole, in bytes.
_LONGEST_LINE: Final = 64 * 1024
_LONGEST_KEY: Final = 16 * 1024
#: Number of bytes held back at the end of a longer line.
_WINDOW: Final = 4096
_MASK: Final = HIDDEN.encode()
_LINE_END: Final = re.compile(rb"[\r\n]")
_LINE: Final = re.compile(rb"[^\r\n]+")
_LINE_ENDS: Final = re.compile(r"[\r\n]+")

#: Forms of secrets. Each comes with words that it always contains: searching for those first is
#: much faster. The group ``secret`` is masked, or else the whole match.
_FORMS: Final = tuple(
    (words, re.compile(pattern))
    for words, pattern in (
        ((b"://",), rb"://(?P<secret>[^\s/@'\"<>]+)@"),
        (
            (b"uthorization",),
            rb"(?i:authorization)[\"']?[ \t]*[:=][ \t]*[\"']?(?P<secret>[^\r\n\"']+)",
        ),
        ((b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"), rb"gh[pousr]_[A-Za-z0-9]{20,255}"),
        ((b"github_pat_",), rb"github_pat_[A-Za-z0-9_]{22,255}"),
        ((b"glpat-",), rb"glpat-[A-Za-z0-9_-]{16,255}"),
        ((b"xox",), rb"xox[abeoprs]-[A-Za-z0-9-]{8,255}"),
        ((b"AKIA", b"ASIA"), rb"(?<![A-Z0-9])A[KS]IA[A-Z0-9]{16}(?![A-Z0-9])"),
        (
            (b"ecret", b"ECRET"),
            (
                rb"(?i:secret)[A-Za-z_]{0,16}[\"']?[ \t]*[:=][ \t]*[\"']?"
                rb"(?P<secret>[A-Za-z0-9/+=_-]{16,})"
            ),
        ),
        (
            (b"eyJ",),
            rb"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
        ),
        ((b"cicd_",), rb"cicd_[0-9a-f]{16}_[0-9a-f]{64}"),
    )
)
#: The names of variables whose values are secrets.
_SECRET_NAME: Final = re.compile(
    r"(?:(?:^|[_.-])(?:auth|bearer|conn(?:ection)?_?str(?:ing)?|credentials?|creds?|dsn|key"
    r"|(?:gh|github|gitlab|azdo)?pat|sig|signature|webhook)"
    r"|(?:access|account|api|deploy|encryption|gpg|master|private|secret|signing|ssh)_?key"
    r"|(?<!^)(?<!^old)pwd"  # PWD and OLDPWD are folders
    # SSH_ASKPASS is a program; a bypass, a compass and a trespass are words.
    r"|(?<!ask)(?<!by)(?<!com)(?<!tres)pass"
    r"|passcode|passwd|password|passphrase|secret|token)s?(?:$|[_.-])"
    # Where a cookie is valid, and what a private network is called, are no secrets.
    r"|(?:cookies?|jwt)$"
    r"|(?:^|[_.-])private(?:$|[_.-](?!addr|cidr|dns|host|ip|link|net|reg|repo|sub|url|zone))",
    re.IGNORECASE,
)
#: The password of a URL.
_PASSWORD: Final = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#:]*:([^\s/?#]+)@\S*\s*")
_KEY_BEGINS: Final = re.compile(rb"-----BEGIN[A-Z0-9 ]{0,40}PRIVATE KEY-----")
_KEY_ENDS: Final = re.compile(rb"-----END[A-Z0-9 ]{0,40}PRIVATE KEY-----")
_KEY_WORD: Final = b"PRIVATE KEY-----"


@frozen
class LogMasks:
    r"""The secrets to mask in the logs of an agent.

    Example:
        .. code-block:: python

            from cicd_core.agent import LogMasks

            masks = LogMasks.of(values=["correct horse battery"], patterns=[r"sk_live_\w+"])
    """

    values: frozenset[bytes] = frozenset()
    patterns: tuple[re.Pattern[bytes], ...] = ()

    @classmethod
    def of(cls, *, values: Iterable[str] = (), patterns: Iterable[str] = ()) -> LogMasks:
        """Return masks for known values and for patterns, besides those that always apply.

        A value is masked as it is, percent-encoded, within JSON, and as Base64. A value of several
        lines is masked line by line.

        Args:
            values: values of at least four characters each.
            patterns: regular expressions. Each sees one line at a time, without its end, so ``^``
                and ``$`` match the start and the end of the line. If there is a group named
                ``secret``, only that group is masked.

        Raises:
            InvalidInput: a value is too short, a pattern does not compile, or it matches nothing.
        """
        known: set[bytes] = set()
        for number, value in enumerate(_listed("values", values)):
            lines = _lines_of(value, LEAST_VALUE)
            if not lines:
                reason = f"a secret has at least {LEAST_VALUE} characters"
                raise InvalidInput(f"values[{number}]", ..., reason)
            known.update(*map(_written, lines))
        compiled = [
            _compiled(f"patterns[{number}]", pattern)
            for number, pattern in enumerate(_listed("patterns", patterns))
        ]
        return cls(frozenset(known), tuple(compiled))

    def with_variables(self, variables: Mapping[str, object]) -> LogMasks:
        """Return masks that also cover the values of variables with names of secrets.

        If the value of another variable is a URL with a password, the password is covered too.
        Values of fewer than eight characters are not masked: they occur by chance.
        """
        guessed = {
            form
            for name, value in variables.items()
            if isinstance(value, str)
            for secret in ([value] if _SECRET_NAME.search(name) else _passwords_of(value))
            for line in _lines_of(secret, _LEAST_GUESSED)
            for form in _written(line)
        }
        return LogMasks(self.values | guessed, self.patterns) if guessed else self


class _Match(NamedTuple):
    """A secret: where its evidence begins, where the secret begins, and where it ends."""

    begin: int
    secret: int
    end: int


class LogMasker:
    """Masks secrets in one log, piece by piece. Not safe to use from several threads at once."""

    def __init__(self, masks: LogMasks) -> None:
        """Start with an empty log."""
        self._masks = masks
        self._values = sorted(masks.values)
        self._window = max([_WINDOW, *map(len, self._values)])
        self._rest = b""
        #: Whether the rest of the line is masked, because it began with a secret too long to hold.
        self._hides_line = False
        #: Whether the last released bytes are masked: a secret that follows directly joins them.
        self._ends_hidden = False

    def feed(self, data: bytes, *, final: bool = False) -> bytes:
        """Take the next bytes of the log; return those that may leave the agent.

        Args:
            data: the next bytes of the log.
            final: whether these are the last ones: then nothing is held back.
        """
        held = self._without_hidden_line(self._rest + data)
        found = list(self._found(held))
        cut = len(held)
        if not final:
            cut = self._border(held, _merged((match.begin, match.end) for match in found))
        self._rest = held[cut:]
        return self._masked(held[:cut], _merged((match.secret, match.end) for match in found))

    def _masked(self, data: bytes, spans: Iterable[tuple[int, int]]) -> bytes:
        parts: list[bytes] = []
        place = 0
        for begin, end in spans:
            if begin >= len(data):
                break
            parts.append(data[place:begin])
            if begin > 0 or not self._ends_hidden:
                parts.append(_MASK)
            place = end
        if data:
            self._ends_hidden = place >= len(data)
        return b"".join([*parts, data[place:]])

    def _without_hidden_line(self, held: bytes) -> bytes:
        if not self._hides_line:
            return held
        end = _LINE_END.search(held)
        if end is None:
            return b""
        self._hides_line = False
        return held[end.start() :]

    def _border(self, held: bytes, found: Iterable[tuple[int, int]]) -> int:
        """Return the offset up to which later bytes can't change the result.

        A secret stays together with its evidence, such as ``Authorization:``. A secret of several
        lines stays together with all of its first and last line: their other text matters too.
        """
        spans = list(found)
        last = whole = _line_begin(held, len(held))
        if len(held) - last <= _LONGEST_LINE:
            for begin, end in reversed(spans):
                if begin < whole <= end:
                    whole = _line_begin(held, begin)
            if whole > 0 or len(held) <= _LONGEST_LINE:
                return whole
        else:
            last = len(held) - self._window
        return self._border_within_line(held, spans, last)

    def _border_within_line(self, held: bytes, spans: list[tuple[int, int]], cut: int) -> int:
        for begin, end in spans:
            if begin < cut and end == len(held):  # it may continue, as a key without an end
                cut = begin
            elif begin < cut < end:
                cut = end
        if cut == 0:  # the held bytes are one secret
            self._hides_line = True
            return len(held)
        return cut

    def _found(self, held: bytes) -> Iterator[_Match]:
        for value in self._values:
            place = held.find(value)
            while place >= 0:
                yield _Match(place, place, place + len(value))
                place = held.find(value, place + 1)
        for words, form in _FORMS:
            if any(word in held for word in words):
                yield from _matches(form, held)
        if self._masks.patterns:
            for line in _LINE.finditer(held):
                for pattern in self._masks.patterns:
                    yield from _matches(pattern, line[0], line.start())
        if _KEY_WORD in held:
            yield from _keys(held)


def _keys(held: bytes) -> Iterator[_Match]:
    """Yield the private keys; one without an end gets the maximum length of a key."""
    place = 0
    while begin := _KEY_BEGINS.search(held, place):
        most = begin.end() + _LONGEST_KEY
        end = _KEY_ENDS.search(held, begin.end(), most)
        place = min(most, len(held)) if end is None else end.end()
        yield _Match(begin.start(), begin.start(), place)


def _line_begin(held: bytes, place: int) -> int:
    return max(held.rfind(b"\n", 0, place), held.rfind(b"\r", 0, place)) + 1


def _matches(pattern: re.Pattern[bytes], text: bytes, place: int = 0) -> Iterator[_Match]:
    """Yield the matches of a pattern in a text that begins at ``place`` in the held bytes."""
    group = "secret" if "secret" in pattern.groupindex else 0
    for found in pattern.finditer(text):
        secret, end = found.span(group)
        if secret < end:
            yield _Match(place + found.start(), place + secret, place + end)


def _merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the union of the spans, in order."""
    begin = end = -1
    for start, stop in sorted(spans):
        if start > end:
            if end > begin:
                yield begin, end
            begin, end = start, stop
        else:
            end = max(end, stop)
    if end > begin:
        yield begin, end


def _listed(field: str, values: Iterable[str]) -> list[str]:
    if isinstance(values, str):
        raise InvalidInput(field, ..., "give a list of texts, not one")
    texts = list(values)
    for number, text in enumerate(texts):
        check_kind(f"{field}[{number}]", text, str)
    return texts


def _lines_of(value: str, least: int) -> list[str]:
    return [line for line in map(str.strip, _LINE_ENDS.split(value)) if len(line) >= least]


def _passwords_of(value: str) -> list[str]:
    """Return the password of a URL, as it is written and as it is meant; none: it has none."""
    found = _PASSWORD.fullmatch(value)
    return [] if found is None else [found[1], unquote(found[1])]


def _written(value: str) -> set[bytes]:
    """Return the encoded forms of a value."""
    plain = value.encode("utf-8", "surrogatepass")
    in_json = json.dumps(value)[1:-1].encode()
    encoded = quote(value, safe="", errors="replace").encode()
    return {plain, in_json, encoded, b64encode(plain)}


def _compiled(field: str, pattern: str) -> re.Pattern[bytes]:
    try:
        compiled = re.compile(pattern.encode())
    except (re.error, OverflowError) as wrong:
        raise InvalidInput(field, pattern, f"it is not a regular expression: {wrong}") from None
    if compiled.fullmatch(b""):
        raise InvalidInput(field, pattern, "it matches the empty text; match the secret itself")
    return compiled
