"""A proxy before an engine that does what a network and DynamoDB itself may do to a request.

It is a process of its own, so that any number of others may use it by its URL::

    python -m tests.dynamodb.fault_proxy --engine http://127.0.0.1:8000 --port 8001 --mix storm

What it does to a request is drawn from a seed: it is answered by an error though it was applied;
or its answer is lost, or does not come in time; or it is applied when nobody waits for it any more;
or a transaction is in the way, or its partition is throttled, before anything was done. Indexes
show a write late.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
import zlib
from collections import Counter
from random import Random
from typing import Any, Final

from aiohttp import ClientSession, TCPConnector, web
from attrs import asdict, frozen

from tests.dynamodb.lagging_indexes import Item, LaggingIndexes

_TYPES: Final = "com.amazonaws.dynamodb.v20120810#"
_WRITES: Final = frozenset({"PutItem", "UpdateItem", "TransactWriteItems"})
_READS: Final = frozenset({"GetItem", "BatchGetItem", "Query"})
#: What a store asks for that is being opened, which nobody would do again for it: left alone.
_OPENING: Final = b"|settings"
#: How long (s) a partition is throttled.
_THROTTLED: Final = 0.5
#: Headers of the engine's answer that are ours to pass on: the store's clock is the Date.
_HEADERS: Final = ("Date", "Content-Type", "x-amzn-RequestId")


@frozen(kw_only=True)
class Mix:
    """How likely each fault is, for each request; ``lag`` and ``late`` are seconds."""

    #: Applied, and answered by InternalServerError.
    applied_500: float = 0.0
    #: The share of writes that are sent twice, as the driver does that heard nothing: it is the
    #: second answer that counts.
    twice: float = 0.0
    #: Applied, and the connection is cut before the answer.
    applied_cut: float = 0.0
    #: Applied, and there is no answer for as long as anybody waits.
    applied_hang: float = 0.0
    #: The connection is cut, and the request is applied up to ``late`` seconds later.
    overdue: float = 0.0
    late: float = 2.0
    #: Not applied: InternalServerError.
    refused_500: float = 0.0
    #: Not applied: another transaction is in the way.
    conflict: float = 0.0
    #: The share of partitions that are throttled at any time, for a while each.
    throttled: float = 0.0
    #: The share of batch reads that leave half of their keys out.
    partial: float = 0.0
    #: Indexes show a write after up to so many seconds; 0: as the engine does.
    lag: float = 0.0


#: What is counted as a fault.
FAULTS: Final = (
    "applied_500",
    "applied_cut",
    "applied_hang",
    "overdue",
    "twice",
    "refused_500",
    "conflict",
    "throttled",
    "partial",
)
MIXES: Final = {
    "twice": Mix(twice=1.0, lag=2.0),
    "storm": Mix(
        applied_500=0.02,
        applied_cut=0.02,
        applied_hang=0.001,
        overdue=0.01,
        refused_500=0.02,
        conflict=0.02,
        throttled=0.01,
        partial=0.05,
        lag=2.0,
    ),
}


class FaultProxy:
    """Passes requests on, as a mix says."""

    def __init__(self, engine: str, mix: Mix, seed: int) -> None:
        """Stand before an engine."""
        self._engine = engine
        self._mix = mix
        self._seed = seed
        self._random = Random(seed)
        self._indexes = LaggingIndexes(self._ask, mix.lag, self._random)
        self._session: ClientSession | None = None
        self._overdue: set[asyncio.Task[Any]] = set()
        #: What was done, for who wants to know: ``GET /``. ``GET /settle`` is answered when nothing
        #: is under way any more, and the indexes show all of it; after ``GET /calm`` nothing fails,
        #: and indexes are the engine's own.
        self.done: Counter[str] = Counter()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        if request.method == "GET":
            if request.path == "/settle":
                await asyncio.gather(*self._overdue)
                await self._indexes.settle()
            if request.path == "/calm":
                self._mix = Mix()
            return web.json_response({"mix": asdict(self._mix), "done": self.done})
        operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        body = await request.read()
        self.done[operation] += 1
        if operation not in _WRITES | _READS or _OPENING in body:
            return _passed(*await self._forward(operation, body))
        words = json.loads(body)
        refused = self._refused(operation, words)
        if refused is not None:
            return refused
        return await self._faulty(request, operation, words, body)

    async def _faulty(
        self, request: web.Request, operation: str, words: Item, body: bytes
    ) -> web.StreamResponse:
        fault = self._drawn("applied_500", "applied_cut", "applied_hang", "overdue")
        if fault == "overdue" and operation in _WRITES:
            task = asyncio.create_task(self._apply_late(operation, words, body))
            self._overdue.add(task)
            task.add_done_callback(self._overdue.discard)
            return _cut(request)
        answer = await self._applied(operation, words, body)
        if fault == "applied_500":
            return _error(500, "InternalServerError", "injected, after it was applied")
        if fault == "applied_hang":
            await asyncio.sleep(60)
        return answer if fault is None else _cut(request)

    def _refused(self, operation: str, words: Item) -> web.Response | None:
        """Return what to answer instead of applying a request; None: apply it."""
        if any(map(self._is_throttled, _partitions(operation, words))):
            self.done["throttled"] += 1
            if operation == "TransactWriteItems":
                return _cancelled("ProvisionedThroughputExceeded", len(words["TransactItems"]))
            return _error(400, "ProvisionedThroughputExceededException", "injected")
        fault = self._drawn("refused_500", "conflict")
        if fault == "refused_500":
            return _error(500, "InternalServerError", "injected, nothing was applied")
        if fault == "conflict" and operation in _WRITES:
            if operation == "TransactWriteItems":
                return _cancelled("TransactionConflict", len(words["TransactItems"]))
            return _error(400, "TransactionConflictException", "injected")
        return None

    async def _apply_late(self, operation: str, words: Item, body: bytes) -> None:
        await asyncio.sleep(self._mix.late * self._random.random())
        await self._applied(operation, words, body)

    async def _applied(self, operation: str, words: Item, body: bytes) -> web.Response:
        if operation == "Query" and "IndexName" in words and self._mix.lag:
            # The Date is the engine's: it tells the store's time.
            status, headers, _ = await self._forward(operation, body)
            shown = self._indexes.query(words)
            return _passed(status, headers, json.dumps(shown).encode())
        if operation == "BatchGetItem" and self._drawn("partial"):
            return await self._half(words)
        if operation in _WRITES and self._drawn("twice"):
            status, headers, answer = await self._forward(operation, body)
            if status == 200:
                self._indexes.written(_written(operation, words))
        status, headers, answer = await self._forward(operation, body)
        if operation in _WRITES and status == 200 and self._mix.lag:
            self._indexes.written(_written(operation, words))
        return _passed(status, headers, answer)

    async def _half(self, words: Item) -> web.Response:
        """Read half of the keys, and say that the others were left out."""
        ((table, wanted),) = words["RequestItems"].items()
        keys = wanted["Keys"]
        some = {table: {**wanted, "Keys": keys[: len(keys) // 2]}}
        left = {table: {**wanted, "Keys": keys[len(keys) // 2 :]}}
        if not some[table]["Keys"]:
            return web.json_response({"Responses": {table: []}, "UnprocessedKeys": left})
        body = json.dumps({**words, "RequestItems": some}).encode()
        status, headers, answer = await self._forward("BatchGetItem", body)
        if status != 200:
            return _passed(status, headers, answer)
        found = json.loads(answer)
        found["UnprocessedKeys"] = left
        return _passed(status, headers, json.dumps(found).encode())

    def _drawn(self, *faults: str) -> str | None:
        """Draw one of the faults, or none."""
        point = self._random.random()
        for fault in faults:
            point -= getattr(self._mix, fault)
            if point < 0:
                self.done[fault] += 1
                return fault
        return None

    def _is_throttled(self, partition: str) -> bool:
        moment = int(time.monotonic() / _THROTTLED)
        drawn = zlib.crc32(f"{self._seed}/{moment}/{partition}".encode())
        return drawn < self._mix.throttled * 2**32

    async def _ask(self, operation: str, words: Item) -> Item:
        _, _, answer = await self._forward(operation, json.dumps(words).encode())
        found: Item = json.loads(answer)
        return found

    async def _forward(self, operation: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send a request to the engine."""
        if self._session is None:
            self._session = ClientSession(connector=TCPConnector(limit=0))
        # The engines ask for a signature, and do not check it.
        signed = (
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request, "
            "SignedHeaders=host;x-amz-date;x-amz-target, Signature=0"
        )
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"DynamoDB_20120810.{operation}",
            "X-Amz-Date": "20260101T000000Z",
            "Authorization": signed,
        }
        async with self._session.post(self._engine, data=body, headers=headers) as answer:
            kept = {name: answer.headers[name] for name in _HEADERS if name in answer.headers}
            return answer.status, kept, await answer.read()

    async def close(self, _: web.Application) -> None:
        """Let the connections go."""
        if self._session is not None:
            await self._session.close()


def _partitions(operation: str, words: Item) -> list[str]:
    """Return the partitions that a request goes to."""
    if operation == "Query":
        place = words["ExpressionAttributeValues"][":0"]["S"]
        return [f"{words['TableName']}/{words.get('IndexName', '')}/{place}"]
    if operation == "BatchGetItem":
        return []  # some keys may be left out instead
    if operation == "GetItem":
        return [_partition(words["TableName"], words["Key"])]
    return [_partition(table, key) for table, key in _written(operation, words)]


def _partition(table: str, key: Item) -> str:
    return f"{table}/{key.get('K', key.get('P'))}"


def _written(operation: str, words: Item) -> list[tuple[str, Item]]:
    """Return the table and the key of each item that a request writes."""
    if operation == "TransactWriteItems":
        updates = [each["Update"] for each in words["TransactItems"]]
        return [(each["TableName"], each["Key"]) for each in updates]
    key = words["Key"] if operation == "UpdateItem" else words["Item"]
    return [(words["TableName"], {name: key[name] for name in ("K", "P", "Q") if name in key})]


def _passed(status: int, headers: dict[str, str], body: bytes) -> web.Response:
    return web.Response(status=status, headers=headers, body=body)


def _error(status: int, code: str, message: str, **rest: Any) -> web.Response:
    words = {"__type": _TYPES + code, "message": message, **rest}
    return web.json_response(words, status=status)


def _cancelled(code: str, writes: int) -> web.Response:
    reasons = [{"Code": code, "Message": "injected"}, *({"Code": "None"} for _ in range(1, writes))]
    return _error(400, "TransactionCanceledException", code, CancellationReasons=reasons)


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description="A faulty DynamoDB before a sound one.")
    parser.add_argument("--engine", required=True, metavar="URL")
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--mix", default="storm", choices=sorted(MIXES))
    parser.add_argument("--seed", default=0, type=int)
    given = parser.parse_args()
    proxy = FaultProxy(given.engine, MIXES[given.mix], given.seed)
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", proxy.answer)
    app.on_cleanup.append(proxy.close)
    web.run_app(app, host="127.0.0.1", port=given.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
