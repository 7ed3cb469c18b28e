"""The location and options of a DynamoDB store, from its URL, checked and with defaults."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from cicd_core.errors import InvalidInput
from cicd_core.model.checks import check_integer, check_seconds
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cicd_core.store.registry import StoreURL

#: How many seconds an event stays in the log by default: 30 days.
LOG_RETENTION: Final = 30 * 86400.0
#: How many shards a busy partition of an index and the log have by default.
SHARDS: Final = 4
#: Defaults in seconds: the limits of an attempt and of its connection, the age of a count.
TIMEOUT: Final = 3.0
CONNECT_TIMEOUT: Final = 2.0
COUNT_SECONDS: Final = 5.0
#: The longest time between two polls of a ``wait``, in seconds.
POLL_SECONDS: Final = 2.0

_NUMBERS: Final = ("shards", "log_shards")
_SECONDS: Final = (
    "log_retention",
    "timeout",
    "connect_timeout",
    "count_seconds",
    "poll_seconds",
)
_SWITCHES: Final = ("create_tables", "log", "claim_marks")
#: The options of a URL, besides ``namespace``.
OPTIONS: Final = frozenset({"prefix", "region", "endpoint", *_NUMBERS, *_SECONDS, *_SWITCHES})
_PREFIX: Final = re.compile(r"[A-Za-z0-9_.-]{0,100}")
_SHARDS_MOST: Final = 128
#: The most digits of a number: Python refuses to parse a number with thousands of them.
_DIGITS: Final = 9


@frozen(kw_only=True)
class Location:
    """The tables of a store, and its options."""

    #: The prefix of the names of the tables.
    prefix: str
    #: The namespace in them; empty: the default one.
    namespace: str
    #: None: from the usual configuration of AWS.
    region: str | None
    endpoint: str | None
    #: Create missing tables, for a test or a local engine.
    create_tables: bool
    #: None: the numbers that the first user of the tables has set.
    shards: int | None
    log_shards: int | None
    #: Keep events and counters.
    log: bool
    #: Let every process recognise a repeated claim; otherwise only the process that made it does.
    claim_marks: bool
    #: All five in seconds.
    log_retention: float
    timeout: float
    connect_timeout: float
    count_seconds: float
    poll_seconds: float


def locate(url: StoreURL, *, namespace: str | None, given: Mapping[str, Any]) -> Location:
    """Return the location that a URL names; settings in ``given`` take precedence over its options.

    Raises:
        InvalidInput: the URL or a setting is wrong; the error names it.
    """
    url.check_options(OPTIONS)
    if url.netloc or url.path.strip("/"):
        reason = "options name the tables: dynamodb://?prefix=ci-&region=eu-west-1"
        raise InvalidInput("url", str(url), reason)
    said = {**url.options, **{name: value for name, value in given.items() if value is not None}}
    prefix = str(said.get("prefix", "ci-"))
    if not _PREFIX.fullmatch(prefix):
        raise InvalidInput("prefix", prefix, "give up to 100 characters of A-Z a-z 0-9 _ . -")
    return Location(
        prefix=prefix,
        namespace=namespace or "",
        region=_text(said.get("region")),
        endpoint=_text(said.get("endpoint")),
        create_tables=_switch(said, "create_tables", default=False),
        shards=_count(said, "shards"),
        log_shards=_count(said, "log_shards"),
        log=_switch(said, "log", default=True),
        claim_marks=_switch(said, "claim_marks", default=True),
        log_retention=_seconds(said, "log_retention", LOG_RETENTION),
        timeout=_seconds(said, "timeout", TIMEOUT),
        connect_timeout=_seconds(said, "connect_timeout", CONNECT_TIMEOUT),
        count_seconds=_seconds(said, "count_seconds", COUNT_SECONDS),
        poll_seconds=_seconds(said, "poll_seconds", POLL_SECONDS),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _switch(said: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = said.get(name, default)
    if value in (True, "true", "on"):
        return True
    if value in (False, "false", "off"):
        return False
    raise InvalidInput(name, value, "give true or false")


def _count(said: Mapping[str, Any], name: str) -> int | None:
    value = said.get(name)
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _DIGITS:
        value = int(value)
    return check_integer(name, value, least=1, most=_SHARDS_MOST)


def _seconds(said: Mapping[str, Any], name: str, default: float) -> float:
    value = said.get(name, default)
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise InvalidInput(name, value, "give a number of seconds") from None
    return check_seconds(name, value)
