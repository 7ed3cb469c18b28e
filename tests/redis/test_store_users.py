"""The rights that the store needs of its user, all of them and no more; no error tells a secret."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import pytest

from cicd_core.errors import (
    UnsupportedCapability,
)
from cicd_core.store.records import Increment, Renewal
from cicd_core.testing.samples import (
    IDS,
    SECOND,
    claim,
    item,
    keys_in,
    numbers_in,
    plain,
    remove,
    watch,
    write,
)
from cicd_core.testing.samples import event_of as happened
from cicd_core.testing.samples import in_lane as lane
from tests.redis.sentinels import open_replicated
from tests.redis.stores import opened, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cicd_core.store.contract import Store
    from tests.redis.engines import Engine, Server

PASSWORD: Final = "tr0ub4dor&3/="
QUOTED: Final = "tr0ub4dor%263%2F%3D"
ONE: Final = Increment("a|b", 1)

pytestmark = pytest.mark.anyio


# ------------------------------------------------------------------------------------------ users


#: The page that tells which rights the store's user needs.
PAGE: Final = Path(__file__).parents[2] / "docs" / "how-to" / "run-on-redis.md"
#: Its line, as a command.
MINIMAL: Final = "ACL SETUSER cicd" + next(
    line.removeprefix("user ci")
    for line in PAGE.read_text("utf-8").splitlines()
    if line.startswith("user ci on >PASSWORD ")
)
COMMANDS: Final = tuple(word[1:] for word in MINIMAL.split() if word.startswith("+"))


def filled(line: str, password: str, namespace: str) -> list[str]:
    """Return the words of a line of the documentation, with one's own password and namespace."""
    return line.replace("PASSWORD", password).replace("team-a", namespace).split()


@pytest.fixture
def guarded(engine: Engine, start: Callable[..., Server]) -> Server:
    """A server of each engine that lets nobody in without a password."""
    return start(engine, requirepass=PASSWORD)


def allow(server: Server, line: str, namespace: str, *more: str) -> str:
    """Make the store's user, and return the URL with which it opens a store."""
    server.ask("ACL", "DELUSER", "cicd")
    server.ask(*filled(line, PASSWORD, namespace), *more)
    return f"redis://cicd:{QUOTED}@127.0.0.1:{server.port}/0?namespace={namespace}"


async def use(store: Store) -> None:
    """Do everything that a store does."""
    now = (await store.now()).micros
    versions = await write(
        store, item("a"), plain("b", expires_at=now), events=[happened("a")], increments=[ONE]
    )
    woken = anyio.Event()
    async with anyio.create_task_group() as tasks:

        async def wait() -> None:
            assert await store.wait([watch(lane("other"))], 30)
            woken.set()

        tasks.start_soon(wait)
        while not woken.is_set():
            await anyio.wait_all_tasks_blocked()
            await write(store, item(IDS.commit_id(), lane="other"))
    one = claim()
    assert [record.key for record in await store.claim(one)] == ["a"]
    assert [record.key for record in await store.claim(one)] == ["a"]
    renewal = Renewal(collection="items", key="a", claim_id=one.claim_id, duration=SECOND)
    assert None not in await store.renew([renewal])
    assert await keys_in(store, lane()) == []
    assert await numbers_in(store, lane()) == [0]
    for prefix in ("a|", "a|b"):  # a whole group, and some of one
        assert (await store.counters(prefix)).values == {"a|b": 1}
    await remove(store, "a", versions["a"] + 1)
    while (await store.read_log(None, 10)).entries:  # until a sweep has dropped them
        await write(store, plain(IDS.commit_id()))


async def test_the_rights_of_the_documentation_are_enough(
    guarded: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cicd_core_redis.store._SWEEP_PERIOD", 0.0)
    url = allow(guarded, MINIMAL, "team-a")
    async with opened(url, namespace=None, log_retention=0) as store:
        await use(store)


def test_the_rights_of_the_documentation_are_those_of_the_scripts() -> None:
    folder = files("cicd_core_redis") / "lua"
    scripts = [each.read_text("utf-8") for each in folder.iterdir()]
    used = {name for text in scripts for name in re.findall(r"\bp?call\('([A-Z]+)'", text)}
    needs = [(folder / name).read_text("utf-8") for name in ("needs.lua", "rights.lua")]
    checked = set(re.findall(r"\bneed\('([A-Z]+)'", "".join(needs)))
    granted = {command.partition("|")[0].upper() for command in COMMANDS}
    assert used - {"SCAN"} <= checked  # index.lua alone asks for it, before it writes anything
    assert "SCAN" not in checked
    assert checked - {"WAIT"} == granted - {"INFO"}


@pytest.mark.parametrize("missing", COMMANDS)
async def test_no_right_of_the_documentation_is_one_too_many(
    missing: str, start: Callable[..., Server]
) -> None:
    server = start()
    error = await refused(allow(server, MINIMAL, "a", f"-{missing}"), namespace=None)
    assert isinstance(error, UnsupportedCapability)
    assert missing.partition("|")[0] in str(error).lower()
    assert "Run on Redis" in str(error)


@pytest.mark.parametrize("less", ["resetkeys", "resetchannels", "resetkeys ~cicd:{b}:*"])
async def test_a_user_of_other_keys_or_channels_is_refused_and_writes_nothing(
    less: str, guarded: Server
) -> None:
    error = await refused(allow(guarded, MINIMAL, "a", *less.split()), namespace=None)
    assert isinstance(error, UnsupportedCapability)
    assert guarded.ask("DBSIZE") == 0


async def test_a_user_without_rights_is_refused(guarded: Server) -> None:
    url = allow(guarded, "ACL SETUSER cicd on >PASSWORD ~* &* -@all", "a")
    error = await refused(url, namespace=None)
    assert isinstance(error, UnsupportedCapability)
    assert "denies" in str(error)


async def test_a_user_who_may_do_everything_to_the_keys_and_hears_no_channel_is_refused(
    guarded: Server,
) -> None:
    url = allow(guarded, "ACL SETUSER cicd on >PASSWORD ~cicd:* resetchannels +@all", "a")
    error = await refused(url, namespace=None)
    assert isinstance(error, UnsupportedCapability)
    assert "SPUBLISH, SSUBSCRIBE" in str(error)


async def test_who_has_writes_confirmed_needs_one_right_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cicd_core_redis.store._SWEEP_PERIOD", 0.0)
    with open_replicated(appendonly=True) as servers:
        url = allow(servers.primary, MINIMAL, "a")
        error = await refused(url, namespace=None, durability="replicated")
        assert "WAIT" in str(error)
        url = allow(servers.primary, f"{MINIMAL} +wait", "a")
        words: dict[str, Any] = {"namespace": None, "log_retention": 0}
        async with opened(url, **words, durability="replicated") as store:
            await use(store)


async def test_who_uses_another_database_needs_one_right_more(start: Callable[..., Server]) -> None:
    server = start()
    url = allow(server, MINIMAL, "a").replace("/0?", "/3?")
    error = await refused(url, namespace=None)
    assert isinstance(error, UnsupportedCapability)
    assert "select" in str(error)
    allow(server, f"{MINIMAL} +select", "a")
    async with opened(url, namespace=None):
        pass


async def test_a_server_that_does_not_tell_its_settings_is_believed(
    start: Callable[..., Server],
) -> None:
    server = start(appendonly=True)
    for durability in (None, "everysec", "always"):
        async with opened(allow(server, MINIMAL, "a"), namespace=None, durability=durability):
            pass
    error = await refused(allow(server, f"{MINIMAL} +config|get", "a"), durability="always")
    assert "appendfsync 'everysec'" in str(error)


# ---------------------------------------------------------------------------------------- secrets


def told(error: BaseException | None) -> Iterator[str]:
    """Yield what an error says, and what those say that stand behind it."""
    while error is not None:
        yield str(error)
        yield repr(error)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    "user", [f"default:{QUOTED}x", f":{QUOTED}x", f"nobody:{QUOTED}", "", "default:"]
)
async def test_wrong_credentials_are_refused_at_once(user: str, guarded: Server) -> None:
    error = await refused(f"redis://{user}@127.0.0.1:{guarded.port}/0", call_timeout=3600)
    assert isinstance(error, UnsupportedCapability)
    assert "refused the credentials" in str(error)


async def test_credentials_that_are_not_asked_for_are_refused(server: Server) -> None:
    error = await refused(f"redis://:{QUOTED}@127.0.0.1:{server.port}/0")
    assert isinstance(error, UnsupportedCapability)


@pytest.mark.parametrize(
    "url",
    [
        "redis://me:{0}@127.0.0.1:1/0",
        "redis://me:{0}@127.0.0.1:99999/0",
        "redis://me:{0}@one,two/0",
        "redis://me:{0}@localhost/zero",
        "redis://me:{0}@localhost/0?password={0}",
        "redis://me:{0}@localhost/0#fragment",
        "rediss://me:{0}@127.0.0.1:1/0",
        "unix://me:{0}@/no/such/socket",
        "redis+sentinel://me:{0}@127.0.0.1:1",
        "redis+sentinel://me:{0}@127.0.0.1:1/cicd",
        "redis+cluster://me:{0}@127.0.0.1:1/3",
        "redis+cluster://me:{0}@127.0.0.1:1",
    ],
)
async def test_no_error_tells_a_password(url: str) -> None:
    error = await refused(url.format(QUOTED), call_timeout=0.01)
    for text in told(error):
        assert PASSWORD not in text
        assert QUOTED not in text


async def test_no_refusal_of_a_server_tells_a_password(guarded: Server) -> None:
    url = f"redis://me:{QUOTED}@127.0.0.1:{guarded.port}/0"
    for text in told(await refused(url)):
        assert PASSWORD not in text
        assert QUOTED not in text
