"""Calls to the control plane that may fail temporarily: with a timeout, repeated with backoff."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

import anyio

from cicd_core.errors import CicdError, StoreUnavailable
from cicd_core.ids import IdSource

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

_T = TypeVar("_T")
_log = logging.getLogger("cicd_core.agent")
_dice = IdSource()

#: How long one call may wait for an answer, in seconds: a connection may be half dead.
CALL_SECONDS: Final = 15.0
#: How long the control plane may be away for an agent that ends when idle, in seconds: a restart of
#: a server takes less.
OUTAGE_SECONDS: Final = 60.0
#: How long the last calls of a cancelled agent may take together, in seconds.
LAST_WORDS_SECONDS: Final = 10.0


class Backoff:
    """Delays that double up to a limit, each randomized within its upper half."""

    def __init__(self, first: float = 0.1, most: float = 5.0) -> None:
        """Start with ``first`` seconds and never wait longer than ``most``."""
        self._first = first
        self._most = most
        self._delay = first

    def next_delay(self) -> float:
        """Return how many seconds to wait before the next try."""
        delay = min(self._delay, self._most)
        self._delay = delay * 2
        return delay * (1 + _dice.jitter()) / 2

    def reset(self) -> None:
        """Start again with the first delay, after a success."""
        self._delay = self._first


class Outage:
    """The time since the first failed try, for an agent that does not try for ever."""

    def __init__(self, *, has_limit: bool) -> None:
        """Begin without a failure; without a limit it never lasts too long."""
        self._has_limit = has_limit
        self._since: float | None = None

    def lasts_too_long(self) -> bool:
        """Return whether to give up; the first call begins the time."""
        now = anyio.current_time()
        if self._since is None:
            self._since = now
        return self._has_limit and now - self._since >= OUTAGE_SECONDS


@contextmanager
def answer_within(seconds: float) -> Generator[None]:
    """Limit the time of a call: without an answer in time, its outcome is unknown.

    Raises:
        StoreUnavailable: the block took longer.
    """
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError as late:
        raise StoreUnavailable(f"no answer within {seconds:g} s; try again") from late


async def patiently(
    call: Callable[[], Awaitable[_T]],
    *,
    what: str,
    give_up: Callable[[], bool] = lambda: False,
    passing: tuple[type[CicdError], ...] = (),
) -> _T:
    """Repeat a call until the control plane answers; the call must be safe to repeat.

    Args:
        call: makes one call.
        what: names the call in the log.
        give_up: called before each try; if it returns True, that try is the last one.
        passing: errors that are temporary here, besides the ``recoverable`` ones.

    Raises:
        CicdError: the error of the call, if it is not recoverable or the last try failed.
    """
    backoff = Backoff()
    while True:
        last = give_up()
        try:
            with answer_within(CALL_SECONDS):
                return await call()
        except CicdError as failed:
            if last or not (failed.recoverable or isinstance(failed, passing)):
                raise
            delay = backoff.next_delay()
            _log.warning("%s failed, next try in %.1f s: %s", what, delay, failed)
        await anyio.sleep(delay)
