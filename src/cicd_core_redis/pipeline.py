"""One connection that all calls of an event loop share: sent together, answered in order.

A task sends the calls of the last turn of the loop, with calls of the same script merged, and reads
the answers in the order of the calls. No call has its own timer, lock or connection, which makes
many callers fast. A call is sent again only if the server reports that it has not run it.
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
from cicd_core.errors import StoreError, UnsupportedCapability
from cicd_core_redis.batching import Confirmation, Parcel, ScriptCall, parcelled
from cicd_core_redis.failures import (
    broken,
    closed,
    is_unknown_script,
    lost,
    points_elsewhere,
    translated,
    unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from cicd_core_redis.codec import Answer, Argument
    from cicd_core_redis.connecting import Connection, Source
    from cicd_core_redis.replication import Confirming
    from cicd_core_redis.scripts import Script, Verb
    from cicd_core_redis.server_clock import ServerClock

#: Answers of the server that are errors; redis-py treats two of them as errors of the connection.
_REFUSALS: Final = (ResponseError, AuthenticationError, BusyLoadingError)
#: Seconds between two attempts to connect: the first pause, which doubles, and the longest.
_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.5


class _NoConnection(Exception):
    """No connection could be opened."""

    def __init__(self, cause: RedisError | OSError | StoreError) -> None:
        super().__init__(cause)
        self.cause = cause


class _Elsewhere(ConnectionError):
    """The server reports that another one is responsible, or that it is not ready."""


class Pipeline:
    """Calls to one server, for one event loop."""

    def __init__(
        self,
        source: Source,
        *,
        connect: Callable[[], Awaitable[Connection]],
        scripts: Mapping[Verb, Script],
        meta: bytes,
        clock: ServerClock,
        timeout: float,
        confirming: Confirming | None = None,
    ) -> None:
        """Connect with the first call; a call is given up after ``timeout`` seconds."""
        self._source = source
        self._connect = connect
        self._scripts = scripts
        self._meta = meta
        self._clock = clock
        self._timeout = timeout
        self._confirming = confirming
        self._queue: deque[ScriptCall] = deque()
        self._again: list[Parcel] = []
        self._inflight: deque[Parcel | Confirmation] = deque()
        self._wanted = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._closed = False
        #: The event loop of the first call: futures and tasks of another loop are not safe here.
        self._loop: asyncio.AbstractEventLoop | None = None
        #: Whether this connection sends nothing more, since its server is not responsible now.
        self._leaving = False

    def submit(
        self, verb: Verb, arguments: Sequence[Argument], *, records: int = 1
    ) -> asyncio.Future[Answer]:
        """Queue a call of a script; its answer comes without the time.

        For a script that takes several items, give the arguments of one item; ``records`` is the
        largest number of records that it concerns.

        Raises:
            StoreUnavailable: the pipeline was closed.
        """
        return self._submit(verb, arguments, records)

    async def run(self, verb: Verb, arguments: Sequence[Argument], *, records: int = 1) -> Answer:
        """Run a script and return its answer; see :meth:`submit`."""
        return await self._submit(verb, arguments, records)

    async def ask(self, *command: Argument) -> Answer:
        """Send a plain command and return its answer."""
        return await self._submit(None, command, 0)

    async def close(self) -> None:
        """Fail the calls under way and disconnect."""
        self._closed = True
        if (serving := self._serving) is not None:
            serving.cancel()
            await asyncio.wait([serving])
        self._fail_all(closed(self._source.where))

    def _submit(
        self, verb: Verb | None, arguments: Sequence[Argument], records: int
    ) -> asyncio.Future[Answer]:
        if self._closed:
            raise closed(self._source.where)
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif loop is not self._loop:
            raise UnsupportedCapability(
                "this store belongs to another event loop: open a sibling() of it for this one"
            )
        if self._serving is None:
            self._start()
        call = ScriptCall(verb, arguments, monotonic_seconds(), records)
        self._queue.append(call)
        self._wanted.set()
        return call.future

    def _start(self) -> None:
        self._serving = asyncio.get_running_loop().create_task(self._serve())

    async def _serve(self) -> None:
        """Connect when there is something to send, and again after a lost connection."""
        try:
            await self._connect_and_converse()
        except Exception as defect:  # noqa: BLE001 - on any error, no caller may wait for ever
            self._fail_all(broken(self._source.where, defect))
        except asyncio.CancelledError as cancelled:
            # The program ends, which cancels every task, or the store is closed. The calls that
            # were sent fail; later calls, from a caller's cleanup, start another task.
            self._lose(cancelled)
            raise
        finally:
            self._serving = None
            if self._queue and not self._closed:
                self._start()

    async def _connect_and_converse(self) -> None:
        failures = 0
        while not self._closed:  # a failure at the same time may swallow a cancellation
            await self._wanted.wait()
            try:
                await self._converse_once()
            except _Elsewhere as cause:
                self._lose(cause)
                failures = await self._pause(failures) if self._queue else 0
            except _NoConnection as none:
                self._refuse(none.cause)
                failures = await self._pause(failures)
            except (RedisError, OSError) as cause:
                self._lose(cause)
                failures = 0

    async def _pause(self, failures: int) -> int:
        await asyncio.sleep(min(_FIRST_PAUSE * 2**failures, _LONGEST_PAUSE))
        return min(failures + 1, 10)

    async def _converse_once(self) -> NoReturn:
        try:
            connection = await self._connect()
        except (RedisError, OSError, StoreError) as cause:
            raise _NoConnection(cause) from cause
        try:
            self._leaving = False
            if self._closed:  # redis-py may swallow a cancellation while it connects
                raise ConnectionError("the store is closed")
            await self._converse(connection)
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
            while (self._queue or self._again) and not self._leaving:
                parcels = [*self._again, *parcelled(self._queue)]
                self._again.clear()
                data: list[bytes] = []
                bounds = self._clock.bounds()
                for parcel in parcels:
                    data += parcel.packed(self._scripts, self._meta, bounds)
                confirmation = self._confirmation(parcels)
                self._inflight.extend(parcels)
                if confirmation is not None:
                    data += confirmation.packed()
                    self._inflight += (confirmation, confirmation)  # it has two answers
                sent = monotonic_seconds()
                for parcel in parcels:
                    parcel.sent = sent
                if confirmation is not None:
                    confirmation.sent = sent
                await connection.send_packed_command(data, check_health=False)

    def _confirmation(self, parcels: Sequence[Parcel]) -> Confirmation | None:
        """Return a confirmation for the parcels that must be durable; None: none must."""
        if self._confirming is None:
            return None
        durable = [parcel for parcel in parcels if parcel.is_durable]
        return Confirmation(self._confirming, durable, self._meta) if durable else None

    async def _read(self, connection: Connection) -> NoReturn:
        while self._inflight or not self._leaving:
            answer: Answer
            try:
                answer = await connection.read_response(
                    disable_decoding=True, timeout=math.inf, disconnect_on_error=False
                )
            except _REFUSALS as refusal:
                answer = refusal
            if not self._inflight:
                raise ConnectionError("the server sent an unexpected answer")
            self._take(self._inflight[0], answer)
            self._inflight.popleft()  # not before: if it can't be handled, it fails with the rest
            self._leaving = self._leaving or points_elsewhere(answer)
        raise _Elsewhere("this server does not serve the namespace now")

    def _take(self, parcel: Parcel | Confirmation, answer: Answer) -> None:
        if isinstance(parcel, Confirmation):
            if parcel.hear(answer):
                self._confirm(parcel)
        elif isinstance(answer, Exception):
            self._take_refusal(parcel, answer)
        else:
            if parcel.verb is not None and answer[0]:
                self._clock.heard(*answer[0], sent=parcel.sent)
            if parcel.confirmation is None:
                parcel.answer(answer)
            else:
                parcel.held = answer

    def _take_refusal(self, parcel: Parcel, answer: Exception) -> None:
        if parcel.confirmation is not None:
            parcel.confirmation.forget(parcel)
        error = self._translated(answer)
        if is_unknown_script(answer) and not parcel.whole:
            parcel.whole = True  # send the text itself: the script did not run
            self._again.append(parcel)
            self._wanted.set()
        elif points_elsewhere(answer) and getattr(error, "retryable", False):
            self._put_back(parcel, error)
        else:
            parcel.fail(error)

    def _put_back(self, parcel: Parcel, error: BaseException) -> None:
        """Queue calls that did not run again, for another server, unless their time is up."""
        late = monotonic_seconds() - self._timeout
        for call in parcel.calls:
            if call.began <= late:
                call.fail(error)
            else:
                self._queue.append(call)

    def _confirm(self, confirmation: Confirmation) -> None:
        error = confirmation.shortfall(self._source.where)
        for parcel in confirmation.parcels:
            if error is None:
                parcel.answer(parcel.held)
            else:
                parcel.fail(error)

    async def _watch(self) -> NoReturn:
        """Give up the connection when an answer is missing for too long."""
        patience = self._timeout + (self._confirming.timeout if self._confirming else 0.0)
        while True:
            await asyncio.sleep(self._timeout / 4)
            if self._inflight and self._inflight[0].sent + patience < monotonic_seconds():
                raise TimeoutError(f"no answer for {patience:g} s")

    def _translated(self, cause: BaseException) -> BaseException:
        return translated(cause, self._source.where, fails_over=self._source.fails_over)

    def _refuse(self, cause: RedisError | OSError | StoreError) -> None:
        """Fail the calls that waited too long for a connection, or all if retrying is useless."""
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
        if not self._queue:
            self._wanted.clear()

    def _lose(self, cause: BaseException) -> None:
        """Fail the calls that were sent: their effect is unknown. The others keep waiting."""
        error = lost(self._source.where, cause)
        for parcel in self._inflight:
            parcel.fail(error)
        self._inflight.clear()
        for parcel in self._again:
            self._put_back(parcel, error)
        self._again.clear()
        if self._queue:
            self._wanted.set()

    def _fail_all(self, error: BaseException) -> None:
        for waiting in (*self._inflight, *self._again, *self._queue):
            waiting.fail(error)
        self._inflight.clear()
        self._again.clear()
        self._queue.clear()
