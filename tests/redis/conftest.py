"""What the tests of the Redis store share: real servers, and a proxy that fails on command."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from cicd_core.testing.samples import IDS, claim, plain, read, write
from tests.redis.certificates import Certificate, new_certificate
from tests.redis.clusters import Cluster, shared_cluster
from tests.redis.engines import Engine, Server, oldest, open_server, shared_server, valkey
from tests.redis.fault_proxy import FaultProxy, open_proxy
from tests.redis.stores import opened

if sys.platform == "win32":
    collect_ignore_glob = ["test_*.py"]  # there is no Valkey for it

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from cicd_core.store.contract import Store


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Run on asyncio alone: the driver does."""
    return "asyncio"


@pytest.fixture(scope="session")
def server() -> Server:
    """The Valkey server that all tests of this process share, each in a namespace of its own."""
    return shared_server()


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The Cluster of six that all tests of this process share; mark them `cluster`."""
    return shared_cluster()


@pytest.fixture
async def proxy(server: Server) -> AsyncGenerator[FaultProxy, None]:
    """A proxy of this test's own before the server that is shared."""
    async with open_proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def namespace() -> str:
    """The namespace of a test, for the second store that looks at what the first one did."""
    return IDS.commit_id()


@pytest.fixture
async def store(proxy: FaultProxy, namespace: str) -> AsyncGenerator[Store, None]:
    """A store whose scripts the server knows, behind the proxy."""
    async with opened(proxy.url, namespace=namespace) as store:
        await write(store, plain("first"))
        await store.claim(claim())
        await read(store, "first", "plain")
        yield store


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """What a server on loopback speaks TLS with."""
    return new_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(params=["valkey", pytest.param("redis", marks=pytest.mark.thorough)])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine that the store must run on; `redis-server` where this machine has it."""
    return valkey() if request.param == "valkey" else oldest()


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    """Start servers of this test's own, as `open_server` does; they end with the test."""
    with ExitStack() as stack:
        yield lambda *engine, **options: stack.enter_context(open_server(*engine, **options))
