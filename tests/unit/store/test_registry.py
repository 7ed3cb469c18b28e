"""Opening stores by URL: what is read of it, what is hidden, and what is said when it fails."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from cicd_core.entities import COLLECTIONS
from cicd_core.errors import InvalidInput, UnknownScheme, UnsupportedCapability
from cicd_core.store.memory import MemoryBackend
from cicd_core.store.registry import StoreURL, open_store

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = """
from contextlib import asynccontextmanager

from cicd_core.store.memory import MemoryBackend


@asynccontextmanager
async def open_acme(url, *, collections, namespace, clock, colour="red"):
    store = MemoryBackend(collections, clock=clock)
    store.opened_with = (url, namespace, colour)
    yield store
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that Python finds."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def install(packages: Path, name: str, value: str, scheme: str = "acme") -> None:
    """Do what pip does for a package with an entry point."""
    information = packages / f"{name}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[cicd_core.stores]\n{scheme} = {value}\n")


@pytest.mark.parametrize(
    ("text", "scheme", "netloc", "path", "options"),
    [
        ("memory://", "memory", "", "", {}),
        ("memory://name", "memory", "name", "", {}),
        ("sqlite:///ci.db", "sqlite", "", "/ci.db", {}),
        ("sqlite:////var/lib/ci.db", "sqlite", "", "//var/lib/ci.db", {}),
        ("sqlite:///a%20b%23.db?x=1&y=a%26b", "sqlite", "", "/a b#.db", {"x": "1", "y": "a&b"}),
        ("REDIS://u:p@host:6379/0?namespace=a", "redis", "u:p@host:6379", "/0", {"namespace": "a"}),
        ("dynamodb://?prefix=ci-&region=", "dynamodb", "", "", {"prefix": "ci-", "region": ""}),
        ("redis+cluster://h1:1,h2:2", "redis+cluster", "h1:1,h2:2", "", {}),
        ("unix:///run/redis.sock", "unix", "", "/run/redis.sock", {}),
    ],
)
def test_a_url_is_taken_apart(
    text: str, scheme: str, netloc: str, path: str, options: dict[str, str]
) -> None:
    url = StoreURL.parse(text)
    assert (url.scheme, url.netloc, url.path) == (scheme, netloc, path)
    assert (url.options, url.text) == (options, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ci.db",
        "/var/lib/ci.db",
        "C:\\ci.db",
        "sqlite:ci.db",
        "://host",
        "1a://host",
        "memory://[half",
        "memory://#part",
        "memory://?a",
        "memory://?a=1&a=2",
    ],
)
def test_a_malformed_url_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        open_store(text, collections=COLLECTIONS)
    assert refused.value.field == "url"


@pytest.mark.parametrize(
    "text",
    [
        "redis://user:hunter2@host/0",
        "redis://:hunter2@host/0",
        "redis://host/0?password=hunter2&x=1",
        "dynamodb://?aws_secret_access_key=hunter2",
        "acme://host?auth-token=hunter2",
    ],
)
def test_a_url_keeps_its_secrets_to_itself(text: str) -> None:
    url = StoreURL.parse(text)
    assert "hunter2" in url.text
    for shown in (repr(url), str(url), f"{url}"):
        assert "hunter2" not in shown
        assert "***" in shown


@pytest.mark.parametrize(
    "text",
    [
        "redis://u:hunter2@[half",
        "redis://u:hunter2@h/#x",
        "redis://:hunter2#x@host/0",
        "redis://u:x#hunter2@host/0",
        "redis://u:hunter2?x@host/0",
        "redis://u:x/hunter2@host/0",
        "redis://u:x?a=hunter2@host/0",
        "redis://u:hunter2[@host/0",
        "redis:u:hunter2@host",
        "u:hunter2@host",
        "redis://hunter2@host/0#f",
        "redis://host/0?pass=hunter2&a",
        "redis://host/0?password=x&hunter2",
        "redis://host/0?password=x#hunter2",
    ],
)
def test_an_error_about_a_url_keeps_its_secrets(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        open_store(text, collections=COLLECTIONS)
    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in str(refused.value.value)


def test_an_unknown_scheme_lists_the_known_ones() -> None:
    with pytest.raises(UnknownScheme) as refused:
        open_store("mongo://host", collections=COLLECTIONS)
    assert refused.value.scheme == "mongo"
    assert {"memory", "sqlite"} <= set(refused.value.known)


@pytest.mark.parametrize("scheme", ["redis", "unix", "redis+cluster"])
def test_a_scheme_whose_extra_is_missing_says_what_to_install(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cicd_core_redis", None)  # as if its driver were not there
    with pytest.raises(UnsupportedCapability, match=r"pip install 'cicd-core\[redis\]'") as refused:
        open_store(f"{scheme}://host", collections=COLLECTIONS)
    assert isinstance(refused.value.__cause__, ImportError)


@pytest.mark.anyio
async def test_a_plugin_is_found_by_its_scheme(packages: Path) -> None:
    (packages / "acme_store.py").write_text(PLUGIN)
    install(packages, "acme-store", "acme_store:open_acme")
    async with open_store(
        "acme://host?namespace=one", colour="blue", collections=COLLECTIONS
    ) as store:
        assert isinstance(store.backend, MemoryBackend)
        url, namespace, colour = vars(store.backend)["opened_with"]
        assert (url.netloc, namespace, colour) == ("host", "one", "blue")
        assert store.collections == COLLECTIONS


@pytest.mark.anyio
async def test_a_namespace_that_is_given_goes_before_the_urls(packages: Path) -> None:
    (packages / "acme_store.py").write_text(PLUGIN)
    install(packages, "acme-store", "acme_store:open_acme")
    async with open_store(
        "acme://host?namespace=one", namespace="two", collections=COLLECTIONS
    ) as store:
        assert vars(store.backend)["opened_with"][1] == "two"


def test_a_namespace_is_a_name() -> None:
    for wrong in ("", "two words", "x" * 129):
        with pytest.raises(InvalidInput) as refused:
            open_store("memory://", namespace=wrong, collections=COLLECTIONS)
        assert refused.value.field == "namespace"


@pytest.mark.parametrize("value", ["no_such_module:open_it", "json:no_such_function"])
def test_a_plugin_that_cannot_be_loaded_says_what_to_install(packages: Path, value: str) -> None:
    install(packages, "acme-store", value)
    with pytest.raises(UnsupportedCapability, match="'acme-store'") as refused:
        open_store("acme://host", collections=COLLECTIONS)
    assert isinstance(refused.value.__cause__, ImportError | AttributeError)


def test_two_plugins_for_one_scheme_are_refused(packages: Path) -> None:
    install(packages, "acme-store", "acme_store:open_acme")
    install(packages, "other-store", "other_store:open_acme")
    with pytest.raises(UnsupportedCapability, match="acme_store:open_acme and by other_store"):
        open_store("acme://host", collections=COLLECTIONS)


def test_options_that_a_store_does_not_know_are_refused_with_those_that_it_does() -> None:
    url = StoreURL.parse("acme://host?size=1&namespace=a")
    url.check_options(["size"])
    with pytest.raises(InvalidInput, match="colour, namespace"):
        url.check_options(["colour"])


def test_an_option_of_seconds_is_a_number() -> None:
    url = StoreURL.parse("acme://host?busy=1.5&slow=soon")
    assert (url.seconds("busy", 5.0), url.seconds("idle", 5.0)) == (1.5, 5.0)
    with pytest.raises(InvalidInput) as refused:
        url.seconds("slow", 5.0)
    assert refused.value.field == "slow"


ENDLESS = [
    "memory://?log_retention=1e13",
    "sqlite:///ci.db?log_retention=1e13",
    "sqlite:///ci.db?log_retention=inf",
    "sqlite:///ci.db?busy_timeout=1e9",
    "redis://127.0.0.1:9?log_retention=1e13",
    "redis://127.0.0.1:9?call_timeout=1e13",
    "redis://127.0.0.1:9?clock_skew=1e13",
    "dynamodb://?log_retention=1e13",
    "dynamodb://?poll_seconds=1e13",
]


@pytest.mark.anyio
@pytest.mark.parametrize("url", ENDLESS)
async def test_duration_beyond_its_bound_is_refused_by_its_name(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anyio_backend_name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if anyio_backend_name != "asyncio" and not url.startswith("memory"):
        return
    with pytest.raises(InvalidInput) as refused:
        async with open_store(url, collections=COLLECTIONS):
            pass
    assert refused.value.field == url.partition("?")[2].partition("=")[0]
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - at once, in an event loop
