"""A client that fails where a test says so: before a request is sent, or after it took effect."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from attrs import define, field

from tests.dynamodb.lagging_indexes import answer_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from tests.dynamodb.harness import DynamoDBHarness


class Lost(Exception):
    """The connection broke."""


@define
class Faults:
    """Which calls fail, and what was called."""

    client: Any
    #: By operation: how many calls to let through first, and whether the request is sent.
    plans: dict[str, tuple[int, bool]] = field(factory=dict[str, "tuple[int, bool]"])
    calls: list[tuple[str, dict[str, Any]]] = field(factory=list[tuple[str, dict[str, Any]]])
    #: By operation: what happens between the first and the second sending of a call.
    repeated: dict[str, Callable[[], Awaitable[None]] | None] = field(factory=dict[str, Any])
    #: By operation: how many calls to let through first, and what happens before the next one.
    first: dict[str, tuple[int, Callable[[], Awaitable[None]]]] = field(factory=dict[str, Any])
    #: What some indexes showed when they were frozen: rows by the name of the index.
    frozen: dict[str, list[dict[str, Any]]] = field(factory=dict[str, "list[dict[str, Any]]"])

    def lose_request(self, operation: str, after: int = 0) -> None:
        """Let one call of an operation fail before anything is sent."""
        self.plans[operation] = (after, False)

    def lose_answer(self, operation: str, after: int = 0) -> None:
        """Let one call of an operation fail after it took effect."""
        self.plans[operation] = (after, True)

    def before(self, operation: str, deed: Callable[[], Awaitable[None]], after: int = 0) -> None:
        """Let something happen before one call of an operation is sent."""
        self.first[operation] = (after, deed)

    async def _sent_before(self, operation: str, words: dict[str, Any]) -> None:
        """Send a call that is to be repeated, and let happen what happens in between."""
        between = self.repeated.pop(operation)
        await getattr(self.client, operation)(**words)
        if between is not None:
            await between()

    async def freeze_index(self, table: str, index: str) -> None:
        """Let an index show from now on what it shows now."""
        answer = await self.client.scan(TableName=table, IndexName=index)
        assert "LastEvaluatedKey" not in answer
        self.frozen[index] = answer["Items"]

    def repeat(self, operation: str, between: Callable[[], Awaitable[None]] | None = None) -> None:
        """Let one call of an operation be sent twice, as the driver does; the second one counts."""
        self.repeated[operation] = between

    @property
    def meta(self) -> Any:
        """What the client says of itself."""
        return self.client.meta

    def __getattr__(self, operation: str) -> Callable[..., Awaitable[Any]]:
        async def call(**words: Any) -> Any:
            self.calls.append((operation, words))
            left, sent = self.plans.pop(operation, (-1, False))
            if left > 0:
                self.plans[operation] = (left - 1, sent)
            if left == 0 and not sent:
                raise Lost(f"{operation} was not sent")
            if operation in self.first:
                through, deed = self.first.pop(operation)
                if through:
                    self.first[operation] = (through - 1, deed)
                else:
                    await deed()
            if operation in self.repeated:
                await self._sent_before(operation, words)
            answer = await getattr(self.client, operation)(**words)
            if words.get("IndexName") in self.frozen:
                shown = answer_of(self.frozen[words["IndexName"]], words)
                answer = {"ResponseMetadata": answer["ResponseMetadata"], **shown}
            if left == 0:
                raise Lost(f"{operation} took effect, and its answer is lost")
            return answer

        return call


@asynccontextmanager
async def faulty_client(harness: DynamoDBHarness) -> AsyncGenerator[Faults, None]:
    """A client of the harness's engine that can be told to fail."""
    session = import_module("aioboto3").Session()
    async with session.client(
        "dynamodb", region_name="us-east-1", endpoint_url=harness.endpoint
    ) as client:
        yield Faults(client)
