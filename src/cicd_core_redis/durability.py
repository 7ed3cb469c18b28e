"""What the server keeps when it dies: what was asked for, checked against what it does."""

from __future__ import annotations

import warnings
from enum import Enum
from typing import TYPE_CHECKING, Final

from cicd_core.errors import InvalidInput, StoreError, UnsupportedCapability

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cicd_core_redis.pipe import Pipe


class Durability(Enum):
    """What survives of what was acknowledged."""

    #: Nothing need survive the server: for tests, and for work that anybody can ask for again.
    NONE = "none"
    #: The server's disk has it a second later at the most: that second may be lost.
    EVERYSEC = "everysec"
    #: The server's disk has it before it is acknowledged.
    ALWAYS = "always"
    #: So many replicas have it before it is acknowledged.
    REPLICATED = "replicated"


def durability_of(text: str | Durability | None) -> Durability | None:
    """Return the mode that a setting names.

    Raises:
        InvalidInput: there is none of that name.
    """
    try:
        return None if text is None else Durability(text)
    except ValueError:
        names = ", ".join(mode.value for mode in Durability)
        raise InvalidInput("durability", text, f"give one of {names}") from None


#: What a server must have been told, by the mode that is asked for; the first value will do.
_FSYNC: Final[Mapping[Durability, Mapping[str, tuple[str, ...]]]] = {
    Durability.EVERYSEC: {
        "appendfsync": ("everysec", "always"),
        "no-appendfsync-on-rewrite": ("no",),
    },
    Durability.ALWAYS: {"appendfsync": ("always",), "no-appendfsync-on-rewrite": ("no",)},
}
#: The oldest server that has what the scripts need.
_OLDEST: Final = (7, 0)


class KeepsNothing(UserWarning):
    """The server's disk does not keep what was acknowledged.

    When a server that keeps nothing ends, every job and every event is gone. A primary that is
    started again before a replica has taken over comes back with what its own disk has; the
    replicas follow it, whatever they confirmed.
    """


async def check_server(pipe: Pipe, wanted: Durability | None, where: str, meta: bytes) -> None:
    """Compare a server with what is needed and asked for; warn if it keeps nothing at all.

    ``meta`` is a key of ours.

    Raises:
        UnsupportedCapability: it is too old, it does less than was asked for, or it throws our
            keys away when its memory is full.
    """
    facts = _facts(await pipe.ask(b"INFO"))
    while facts.get("loading") == "1":  # until it has its data, it says that it has no AOF
        await pipe.ask(b"HGET", meta, b"schema")  # which waits for that
        facts = _facts(await pipe.ask(b"INFO"))
    _check_version(facts, where)
    _check_eviction(facts, where)
    has_log = facts.get("aof_enabled") == "1"
    if wanted in (Durability.EVERYSEC, Durability.ALWAYS):
        if not has_log:
            raise UnsupportedCapability(
                f"{where} has no append-only file, so durability {wanted.value!r} is not to be "
                f"had: set appendonly to yes"
            )
        await _check_fsync(pipe, wanted, where)
    elif wanted is not Durability.NONE and not has_log:
        await _warn_of_the_disk(pipe, wanted, where)


async def _warn_of_the_disk(pipe: Pipe, wanted: Durability | None, where: str) -> None:
    if wanted is Durability.REPLICATED:
        loss = (
            "has no append-only file: if it is started again before a replica has taken over, "
            "what was acknowledged is lost, on the replicas too"
        )
    elif not await _takes_snapshots(pipe):
        loss = "keeps nothing on its disk: when it ends, every job and every event is gone"
    else:
        return
    warnings.warn(f"{where} {loss}; set appendonly to yes", KeepsNothing, stacklevel=2)


def _check_version(facts: Mapping[str, str], where: str) -> None:
    version = facts.get("redis_version", "")
    parts = version.split(".")[:2]
    if all(part.isdigit() for part in parts) and tuple(map(int, parts)) < _OLDEST:
        raise UnsupportedCapability(f"{where} is Redis {version}: 7.0 or newer is needed")


def _check_eviction(facts: Mapping[str, str], where: str) -> None:
    policy = facts.get("maxmemory_policy", "noeviction")
    # The volatile ones take keys that have a time to live; none of ours has.
    if policy.startswith("allkeys") and facts.get("maxmemory", "0") != "0":
        raise UnsupportedCapability(
            f"{where} throws keys away when its memory is full (maxmemory-policy {policy}): jobs "
            f"would be lost; set maxmemory-policy to noeviction"
        )


async def _check_fsync(pipe: Pipe, wanted: Durability, where: str) -> None:
    for name, enough in _FSYNC[wanted].items():
        value = await _setting(pipe, name)
        if value is not None and value not in enough:
            raise UnsupportedCapability(
                f"{where} has {name} {value!r}, so durability {wanted.value!r} is not to be had: "
                f"set {name} to {enough[0]}, or ask for less"
            )


async def _takes_snapshots(pipe: Pipe) -> bool:
    return await _setting(pipe, "save") != ""


async def _setting(pipe: Pipe, name: str) -> str | None:
    """Return a setting of the server; None: it does not tell, as many that are rented do not."""
    try:
        answer = await pipe.ask(b"CONFIG", b"GET", name)
    except StoreError as refused:
        if refused.retryable:
            raise
        return None
    return answer[1].decode() if answer else None


def _facts(info: bytes) -> Mapping[str, str]:
    lines = info.decode(errors="replace").splitlines()
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name: value for name, _, value in pairs}


#: How long replicas have to confirm a write by default, in seconds.
REPLICA_TIMEOUT: Final = 1.0
