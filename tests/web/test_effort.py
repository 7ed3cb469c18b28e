"""What a page costs: the records that it reads for what it shows, and the bytes that are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from cicd_core import AgentSpec, ControlPlane, DeploymentSpec, JobSpec
from cicd_core.http.server import create_app
from cicd_core.http.web.rendering import ASSETS
from tests.http.in_process import client_of
from tests.services.broken_stores import Relay
from tests.web.scene import BROKEN, NEVER, ONCE, set_up, spec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    import httpx2

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Query, Record, RecordPage

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

#: The most bytes of a page with its style, its script and its picture.
MOST_BYTES: Final = 60_000
#: What a browser says that it takes.
BROWSER: Final = {"accept-encoding": "gzip, deflate, br"}
LISTS: Final = (
    "/ui/jobs",
    "/ui/jobs?status=failed",
    "/ui/jobs?pool_name=linux",
    "/ui/jobs?limit=200",
    "/ui/queue?pool_name=linux",
    "/ui/deployments",
    "/ui/agents",
)


class Reader(Relay):
    """Counts the records that are read."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.records = 0

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        found = await super().get(collection, keys)
        self.records += len(found)
        return found

    async def page(self, query: Query) -> RecordPage:
        found = await super().page(query)
        self.records += len(found.records)
        return found


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    async with ControlPlane.open("memory://", maintenance=False) as plane:
        await set_up(plane)
        for number in range(120):
            retry = (NEVER, NEVER, ONCE)[number % 3]
            await plane.queue.enqueue(spec(f"Job {number}", retry=retry))
        claims = await plane.queue.claim(
            agent_id="builder-2", pool_name="linux", labels=("amd64",), limit=100, start=True
        )
        for claim in claims[:90]:
            await plane.queue.complete(claim, BROKEN)
        await plane.queue.enqueue_many([JobSpec(job_type="lint", pool_name="linux")] * 200)
        for number in range(60):
            await plane.agents.register(AgentSpec(agent_id=f"more-{number}", pool_name="other"))
            made = DeploymentSpec(service_name=f"s-{number % 30}", version=f"{number}")
            deployment = await plane.deployments.create(made)
            if number % 2:
                await plane.deployments.record_staging(deployment.deployment_id, succeeded=True)
        yield Reader(plane.store)


@pytest.fixture
async def http(reader: Reader) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(create_app(ControlPlane(reader), status_page=True)) as client:
        yield client


async def test_a_list_reads_at_most_three_times_the_rows_that_it_shows(
    reader: Reader, http: httpx2.AsyncClient
) -> None:
    for address in LISTS:
        await http.get(address)  # what is read once and kept, such as lists of lanes
        reader.records = 0
        answer = await http.get(address)
        shown = answer.text.count('<th scope="row"')
        assert shown >= 25, address
        assert reader.records <= 3 * shown, address


async def test_a_page_with_its_assets_has_less_than_60_kilobytes(http: httpx2.AsyncClient) -> None:
    async def size(address: str) -> int:
        answer = await http.get(address, headers=BROWSER)
        assert answer.status_code == 200
        return int(answer.headers["content-length"])

    assets = sum([await size(f"/ui/assets/{name}") for name in ASSETS])
    for address in (*LISTS, "/ui/", "/ui/dead-letters", "/ui/events", "/ui/audit"):
        assert assets + await size(address) < MOST_BYTES, address
    plain = await http.get("/ui/jobs", headers={"accept-encoding": "identity"})
    packed = await http.get("/ui/jobs", headers=BROWSER)
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"


async def test_assets_are_kept_by_their_version(http: httpx2.AsyncClient) -> None:
    page = await http.get("/ui/")
    for name, media_type in ASSETS.items():
        asset = await http.get(f"/ui/assets/{name}")
        assert asset.headers["content-type"].startswith(media_type)
        assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert f"/ui/assets/{name}?v=" in page.text
    assert page.headers["cache-control"] == "no-store"
