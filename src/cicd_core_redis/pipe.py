"""One connection that all calls of an event loop share: sent together, answered in order.

A task sends what the last turn of the loop left, calls of one script merged into one, and reads
the answers in the order of the questions. No call has a timer, a lock or a connection of its own:
that is what makes many callers fast. Nothing is ever sent twice here, but to a server that says
it has not run it.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING, Final, NoReturn

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    RedisError,
    ResponseError,
)

from cicd_core.clock import monotonic_seconds
from cicd_core_redis.failures import (
    broken,
    closed,
    is_unknown_script,
    lost,
    points_elsewhere,
    translated,
    unconfirmed,
    unreachable,
)
from cicd_core_redis.parcels import Call, Confirmation, Parcel, parcelled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cicd_core_redis.connecting import Connection, Source
    from cicd_core_redis.durability import Confirming
    from cicd_core_redis.scripts import Script, Verb
    from cicd_core_redis.server_clock import ServerClock
    from cicd_core_redis.words import Answer, Argument

#: Answers of the server that are errors; two of them are errors of the connection to redis-py.
_REFUSALS: Final = (ResponseError, AuthenticationError, BusyLoadingError)
#: Seconds between two tries to connect: the first pause, which doubles, and the longest.
_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.5


class Pipe:
    """Calls to one server, for one event loop."""

    def __init__(
        self,
        source: Source,
        *,
        scripts: Mapping[Verb, Script],
        meta: bytes,
        clock: ServerClock,
        timeout: float,
        confirming: Confirming | None = None,
    ) -> None:
        """Connect with the first call; a call is given up after ``timeout`` seconds."""
        self._source = source
        self._scripts = scripts
        self._meta = meta
        self._clock = clock
        self._timeout = timeout
        self._confirming = confirming
        self._queue: deque[Call] = deque()
        self._again: list[Parcel] = []
        self._inflight: deque[Parcel | Confirmation] = deque()
        self._wanted = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._closed = False

    def submit(self, verb: Verb, words: Sequence[Argument]) -> asyncio.Future[Answer]:
        """Put a script on the way; its answer comes without the time.

        Those that take several items take the words of one here.

        Raises:
            StoreUnavailable: the pipe was closed.
        """
        return self._submit(verb, words)

    async def run(self, verb: Verb, words: Sequence[Argument]) -> Answer:
        """Run a script and return its answer; see :meth:`submit`."""
        return await self._submit(verb, words)

    async def ask(self, *command: Argument) -> Answer:
        """Send a plain command and return its answer."""
        return await self._submit(None, command)

    async def close(self) -> None:
        """Fail what is under way and disconnect."""
        self._closed = True
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.wait([self._serving])
        self._fail_all(closed(self._source.where))

    def _submit(self, verb: Verb | None, words: Sequence[Argument]) -> asyncio.Future[Answer]:
        if self._closed:
            raise closed(self._source.where)
        if self._serving is None:
            self._serving = asyncio.get_running_loop().create_task(self._serve())
        call = Call(verb, words, monotonic_seconds())
        self._queue.append(call)
        self._wanted.set()
        return call.future

    async def _serve(self) -> None:
        """Connect when there is something to send, and again when a connection was lost."""
        try:
            await self._connect_and_converse()
        except Exception as defect:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            self._serving = None
            self._fail_all(broken(self._source.where, defect))

    async def _connect_and_converse(self) -> None:
        failures = 0
        while not self._closed:  # a cancellation that meets a failure is swallowed by the failure
            await self._wanted.wait()
            try:
                connection = await self._source.connect()
            except (RedisError, OSError) as cause:
                self._refuse(cause)
                await asyncio.sleep(min(_FIRST_PAUSE * 2**failures, _LONGEST_PAUSE))
                failures = min(failures + 1, 10)
                continue
            failures = 0
            try:
                await self._converse(connection)
            except (RedisError, OSError) as cause:
                self._lose(cause)
            finally:
                await self._source.disconnect(connection)

    async def _converse(self, connection: Connection) -> NoReturn:
        """Send and read over one connection until it fails."""
        failure: Exception = ConnectionError("the connection ended")
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send(connection))
                tasks.create_task(self._read(connection))
                tasks.create_task(self._watch())
        except* (RedisError, OSError) as causes:
            failure = causes.exceptions[0]
        raise failure

    async def _send(self, connection: Connection) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._queue or self._again:
                parcels = [*self._again, *parcelled(self._queue)]
                self._again.clear()
                data: list[bytes] = []
                for parcel in parcels:
                    data += parcel.packed(self._scripts, self._meta)
                confirmation = self._confirmation(parcels)
                self._inflight.extend(parcels)
                if confirmation is not None:
                    data += confirmation.packed()
                    self._inflight.append(confirmation)
                sent = monotonic_seconds()
                for parcel in parcels:
                    parcel.sent = sent
                if confirmation is not None:
                    confirmation.sent = sent
                await connection.send_packed_command(data, check_health=False)

    def _confirmation(self, parcels: Sequence[Parcel]) -> Confirmation | None:
        """Make those that must survive wait for the servers that shall hold them."""
        if self._confirming is None:
            return None
        durable = [parcel for parcel in parcels if parcel.is_durable]
        return Confirmation(self._confirming, durable) if durable else None

    async def _read(self, connection: Connection) -> None:
        while True:
            answer: Answer
            try:
                answer = await connection.read_response(
                    disable_decoding=True, timeout=math.inf, disconnect_on_error=False
                )
            except _REFUSALS as refusal:
                answer = refusal
            if not self._inflight:
                raise ConnectionError("an answer came that nobody asked for")
            self._take(self._inflight[0], answer)
            self._inflight.popleft()  # not before: what can't be taken is failed with the rest
            if points_elsewhere(answer):
                raise ConnectionError(f"this is not the server to ask now: {answer}")

    def _take(self, parcel: Parcel | Confirmation, answer: Answer) -> None:
        if isinstance(parcel, Confirmation):
            self._confirm(parcel, answer)
        elif is_unknown_script(answer) and not parcel.whole:
            parcel.whole = True  # send the text itself: nothing of it was run
            if parcel.confirmation is not None:
                parcel.confirmation.forget(parcel)
            self._again.append(parcel)
            self._wanted.set()
        elif isinstance(answer, Exception):
            parcel.fail(self._translated(answer))
        else:
            if parcel.verb is not None:
                self._clock.heard(answer[0], sent=parcel.sent)
            if parcel.confirmation is None:
                parcel.answer(answer)
            else:
                parcel.held = answer

    def _confirm(self, confirmation: Confirmation, answer: Answer) -> None:
        for parcel in confirmation.parcels:
            if isinstance(answer, Exception):
                parcel.fail(self._translated(answer))
            elif confirmation.is_met(answer):
                parcel.answer(parcel.held)
            else:
                wanted, seconds = confirmation.wanted, confirmation.seconds
                number = confirmation.number(answer)
                parcel.fail(unconfirmed(self._source.where, number, wanted, seconds))

    async def _watch(self) -> NoReturn:
        """Give the connection up when an answer stays away."""
        patience = self._timeout + (self._confirming.timeout if self._confirming else 0.0)
        while True:
            await asyncio.sleep(self._timeout / 4)
            if self._inflight and self._inflight[0].sent + patience < monotonic_seconds():
                raise TimeoutError(f"no answer for {patience:g} s")

    def _translated(self, cause: BaseException) -> BaseException:
        return translated(cause, self._source.where, fails_over=self._source.fails_over)

    def _refuse(self, cause: RedisError | OSError) -> None:
        """Fail the calls that waited too long for a connection, or all if none will come."""
        error = self._translated(cause)
        late = monotonic_seconds() - self._timeout
        if getattr(error, "retryable", False):
            error = unreachable(self._source.where, cause, self._timeout)
            gone = [call for call in self._queue if call.began <= late or call.future.done()]
        else:
            gone = list(self._queue)
        for call in gone:
            self._queue.remove(call)
            call.fail(error)
        for parcel in self._again:
            parcel.fail(error)
        self._again.clear()
        if not self._queue:
            self._wanted.clear()

    def _lose(self, cause: BaseException) -> None:
        """Fail what was sent: whether it took effect is unknown. What was not, waits on."""
        for parcel in (*self._inflight, *self._again):
            parcel.fail(lost(self._source.where, cause))
        self._inflight.clear()
        self._again.clear()
        if self._queue:
            self._wanted.set()

    def _fail_all(self, error: BaseException) -> None:
        for waiting in (*self._inflight, *self._again, *self._queue):
            waiting.fail(error)
        self._inflight.clear()
        self._again.clear()
        self._queue.clear()
