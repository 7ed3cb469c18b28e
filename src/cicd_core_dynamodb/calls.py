"""Calls of the client: timed, metered, with translated errors. All use of the driver is here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from anyio import CapacityLimiter, create_task_group, fail_after

from cicd_core.errors import StoreUnavailable
from cicd_core_dynamodb.elapsed import awake_or_asleep
from cicd_core_dynamodb.failures import translated
from cicd_core_dynamodb.tables import JOURNAL, PLACE_KEY, STREAM_KEY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from cicd_core.store.records import StoreTime
    from cicd_core_dynamodb.server_clock import ServerClock

Answer = TypeVar("Answer")
#: A value in DynamoDB's form, such as ``{"S": "text"}``; an item: values by names of attributes.
Value = dict[str, Any]
Item = dict[str, Value]


#: The attempts of a call. The second one is harmless; callers of the store retry more often.
ATTEMPTS: Final = 2
#: The most concurrent calls, and so connections.
CONNECTIONS: Final = 64
#: How many seconds a call may take beyond its attempts: the pause between them, and a margin.
_BESIDES: Final = 2.0
#: The operations that consume no capacity.
_ABOUT_TABLES: Final = frozenset(
    {
        "create_table",
        "delete_table",
        "describe_continuous_backups",
        "describe_table",
        "describe_time_to_live",
        "list_tables",
        "update_continuous_backups",
        "update_table",
        "update_time_to_live",
    }
)


class Meter(Protocol):
    """A callback that gets the consumption of each call."""

    def __call__(self, operation: str, consumed: Mapping[str, Any]) -> None:
        """Take one ``ConsumedCapacity`` (of one table) from DynamoDB's answer."""
        ...


class Calls:
    """The client, for the store's use."""

    def __init__(
        self,
        client: Any,
        prefix: str,
        clock: ServerClock,
        meter: Meter | None,
        *,
        timeout: float,
    ) -> None:
        """Wrap an aiobotocore client, which has no types, with the users of its answers.

        ``timeout`` is how many seconds an attempt may take, its connection included. A call ends
        when that time is over for all attempts, even if the client itself would go on.
        """
        self._client = client
        self._prefix = prefix
        self._clock = clock
        self._meter = meter
        self._patience = ATTEMPTS * timeout + _BESIDES
        self._room = CapacityLimiter(CONNECTIONS)
        self._closed = False

    def close(self) -> None:
        """Refuse all further calls: the client would connect again, after its own close."""
        self._closed = True

    def table(self, name: str) -> str:
        """Return a table's name with its prefix."""
        return self._prefix + name

    async def __call__(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the client.

        Raises:
            StoreError: the driver's error, translated.
            ConditionFailed, TransactionRefused: a condition did not hold.
        """
        if self._closed:
            raise StoreUnavailable(
                f"the store in the tables {self._prefix!r} was closed: open it again; whether the "
                f"call took effect is unknown"
            )
        if self._meter is not None and operation not in _ABOUT_TABLES:
            parameters["ReturnConsumedCapacity"] = "INDEXES"
        async with self._room:
            sent = awake_or_asleep()
            try:
                with fail_after(self._patience):
                    answer: dict[str, Any] = await getattr(self._client, operation)(**parameters)
            except Exception as cause:
                self._learn(getattr(cause, "response", None), sent)
                failure = translated(
                    cause, operation, str(parameters.get("TableName", self._prefix))
                )
                if failure is cause:
                    raise
                raise failure from cause
        self._learn(answer, sent)
        if self._meter is not None:
            self._tell(operation, answer.get("ConsumedCapacity"))
        return answer

    async def now(self) -> StoreTime:
        """Return the time at the server; ask it only if the last answer is too old."""
        time = self._clock.read()
        if time is None:
            await self("get_item", **self.settings_item())
            time = self._clock.read()
        if time is None:
            raise StoreUnavailable(
                "the time at the endpoint is unknown: its answers have no date, or take seconds"
            )
        return time

    def settings_item(self) -> dict[str, Any]:
        """Return the parameters to get the item with the settings of these tables."""
        key = {STREAM_KEY: {"S": "|settings"}, PLACE_KEY: {"S": "-"}}
        return {"TableName": self.table(JOURNAL.name), "Key": key, "ConsistentRead": True}

    def _learn(self, answer: dict[str, Any] | None, sent: float) -> None:
        if answer:
            headers: dict[str, str] = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
            if "date" in headers:
                self._clock.heard(headers["date"], sent=sent)

    def _tell(self, operation: str, consumed: Any) -> None:
        if self._meter is not None and consumed:
            several: list[dict[str, Any]] = consumed if "TableName" not in consumed else [consumed]
            for item in several:
                self._meter(operation, item)


async def all_of(deeds: Iterable[Callable[[], Awaitable[Answer]]]) -> list[Answer]:
    """Run all calls concurrently, and return their answers in order.

    Each call runs to its end, even if others fail; then the first error is raised.
    """
    waiting = list(deeds)
    if len(waiting) == 1:
        return [await waiting[0]()]
    answers, failures = await _done(waiting)
    if failures:
        raise failures[0]
    return answers


async def some_of(
    deeds: Iterable[Callable[[], Awaitable[Answer]]],
) -> tuple[list[Answer], StoreUnavailable | None]:
    """Run all calls concurrently; return their answers, in order, and the error of the rest.

    Any error except ``StoreUnavailable`` is raised at the end.
    """
    answers, failures = await _done(list(deeds))
    unavailable: StoreUnavailable | None = None
    for failure in failures:
        if not isinstance(failure, StoreUnavailable):
            raise failure
        unavailable = unavailable or failure
    return answers, unavailable


async def _done(
    waiting: Sequence[Callable[[], Awaitable[Answer]]],
) -> tuple[list[Answer], list[Exception]]:
    """Return the answers, in order, and the errors."""
    answers: dict[int, Answer] = {}
    failures: list[Exception] = []

    async def do(number: int, deed: Callable[[], Awaitable[Answer]]) -> None:
        try:
            answers[number] = await deed()
        except Exception as failure:  # noqa: BLE001 - reported to the caller at the end
            failures.append(failure)

    async with create_task_group() as tasks:
        for number, deed in enumerate(waiting):
            tasks.start_soon(do, number, deed)
    return [answers[number] for number in sorted(answers)], failures
