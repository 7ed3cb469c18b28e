"""The calls of the pipeline, merged into parcels if one script can run several of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from cicd_core_redis.codec import packed
from cicd_core_redis.failures import unconfirmed
from cicd_core_redis.scripts import DURABLE, Verb

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Mapping, Sequence

    from cicd_core.errors import StoreUnavailable
    from cicd_core_redis.codec import Answer, Argument
    from cicd_core_redis.replication import Confirming
    from cicd_core_redis.scripts import Script

#: The scripts that take several items, after the number of them.
_MERGED: Final = frozenset({Verb.COMMIT, Verb.CHANGE, Verb.CLAIM, Verb.RENEW, Verb.GET})
#: The most items in one parcel: a script blocks all other clients of the server while it runs.
_MAX_ITEMS: Final = 32
#: The most records that the items of one parcel concern, for the same reason.
_MAX_RECORDS: Final = 256
#: The bytes at which a parcel or a write is full.
_MAX_BYTES: Final = 256 * 1024
#: The number of commands of a confirmation.
_CONFIRMING: Final = 2
#: The most calls in one write.
_MAX_CALLS: Final = 512


class ScriptCall:
    """One caller's request, and the future of its answer."""

    __slots__ = ("began", "count", "data", "future", "records", "verb")

    def __init__(
        self, verb: Verb | None, arguments: Sequence[Argument], began: float, records: int
    ) -> None:
        """Hold a script's arguments, or a plain command if there is no verb.

        ``records`` is the largest number of records that the call concerns.
        """
        self.verb = verb
        self.records = records
        self.count = len(arguments)
        self.data = packed(arguments)
        self.began = began
        self.future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def fail(self, error: BaseException) -> None:
        """Give the caller an error, unless it was cancelled."""
        if not self.future.done():
            self.future.set_exception(error)

    def answer(self, answer: Answer) -> None:
        """Give the caller its answer, unless it was cancelled."""
        if not self.future.done():
            self.future.set_result(answer)


class Parcel:
    """Calls that are sent as one command."""

    def __init__(self, call: ScriptCall) -> None:
        self.verb = call.verb
        self.calls = [call]
        self.size = len(call.data)
        self.records = call.records
        #: When it was sent, on this process's monotonic clock.
        self.sent = 0.0
        #: Whether to send the script's text, since the server does not know its digest.
        self.whole = False
        #: The confirmation that must come before the answer is given, and the answer until then.
        self.confirmation: Confirmation | None = None
        self.held: Answer = None

    @property
    def is_durable(self) -> bool:
        """Whether its effect must survive the loss of the server."""
        return self.verb in DURABLE

    def has_room_for(self, call: ScriptCall) -> bool:
        """Whether there is room for another call."""
        return (
            len(self.calls) < _MAX_ITEMS
            and self.size + len(call.data) <= _MAX_BYTES
            and self.records + call.records <= _MAX_RECORDS
        )

    def add(self, call: ScriptCall) -> None:
        """Add a call."""
        self.calls.append(call)
        self.size += len(call.data)
        self.records += call.records

    def packed(
        self, scripts: Mapping[Verb, Script], meta: bytes, bounds: tuple[int, int]
    ) -> list[bytes]:
        """Return the bytes to send; ``bounds`` limit the server's elapsed time (µs)."""
        head: list[Argument] = []
        if self.verb is not None:
            script = scripts[self.verb]
            head = [b"EVALSHA", script.sha, 1, meta, *bounds, *script.first]
            if self.whole:
                head[:2] = [b"EVAL", script.text]
            if self.verb in _MERGED:
                head.append(len(self.calls))
        count = len(head) + sum(call.count for call in self.calls)
        return [b"*%d\r\n" % count, packed(head), *(call.data for call in self.calls)]

    def answer(self, answer: Answer) -> None:
        """Give each call its part of the answer."""
        if self.verb is None:
            self.calls[0].answer(answer)
        elif self.verb in _MERGED:
            for call, part in zip(self.calls, answer[1:], strict=True):  # after the time
                call.answer(part)
        else:
            self.calls[0].answer(answer[1:])

    def fail(self, error: BaseException) -> None:
        """Give each call an error."""
        for call in self.calls:
            call.fail(error)


class Confirmation:
    """A request whether enough servers have the writes of some parcels."""

    def __init__(self, confirming: Confirming, parcels: list[Parcel], meta: bytes) -> None:
        self._confirming = confirming
        self._meta = meta
        self._answers: list[Answer] = []
        self.parcels = parcels
        #: When it was sent, on this process's monotonic clock.
        self.sent = 0.0
        for parcel in parcels:
            parcel.confirmation = self

    def packed(self) -> list[bytes]:
        """Return the bytes to send: two commands.

        WAIT covers the last write of its own connection, and a repeated call writes nothing. So a
        write goes before it.
        """
        data: list[bytes] = []
        for command in self._confirming.commands(self._meta):
            data += [b"*%d\r\n" % len(command), packed(command)]
        return data

    def hear(self, answer: Answer) -> bool:
        """Take the next answer; return whether it was the last one."""
        self._answers.append(answer)
        return len(self._answers) == _CONFIRMING

    def shortfall(self, where: str) -> StoreUnavailable | None:
        """Return the error of writes that too few servers have; None: enough have them.

        A refusal does not mean that the write failed: it has taken effect on the server.
        """
        wanted, seconds = self._confirming.replicas, self._confirming.timeout
        refusals = [answer for answer in self._answers if isinstance(answer, Exception)]
        found = refusals[0] if refusals else int(self._answers[-1])
        if isinstance(found, int) and found >= wanted:
            return None
        return unconfirmed(where, found, wanted, seconds)

    def forget(self, parcel: Parcel) -> None:
        """Remove a parcel that was refused, or not run."""
        self.parcels.remove(parcel)
        parcel.confirmation = None

    def fail(self, error: BaseException) -> None:
        """Give each waiting call an error."""
        for parcel in self.parcels:
            parcel.fail(error)


def parcelled(queue: deque[ScriptCall]) -> list[Parcel]:
    """Take the calls of one write from a queue, merged; drop those whose callers were cancelled.

    Calls that wait together are concurrent, so their order is free.
    """
    parcels: list[Parcel] = []
    open_ones: dict[Verb, Parcel] = {}
    size = taken = 0
    while queue and size < _MAX_BYTES and taken < _MAX_CALLS:
        call = queue.popleft()
        if call.future.done():
            continue
        size += len(call.data)
        taken += 1
        parcel = None if call.verb is None else open_ones.get(call.verb)
        if parcel is not None and parcel.has_room_for(call):
            parcel.add(call)
            continue
        parcel = Parcel(call)
        parcels.append(parcel)
        if call.verb in _MERGED:
            open_ones[call.verb] = parcel
    return parcels
