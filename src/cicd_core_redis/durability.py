"""Durability: the requested mode, checked against the server's settings."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from cicd_core.errors import InvalidInput, UnsupportedCapability

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cicd_core_redis.server_facts import ServerFacts


class Durability(Enum):
    """The acknowledged writes that survive a crash."""

    #: No guarantee: for tests, and for work that can be requested again.
    NONE = "none"
    #: A write reaches the server's disk within a second, or a few if the disk is slow: a crash may
    #: lose the writes after the last one there.
    EVERYSEC = "everysec"
    #: A write is on the server's disk before it is acknowledged.
    ALWAYS = "always"
    #: A write is on ``replicas`` replicas before it is acknowledged.
    REPLICATED = "replicated"


def durability_of(text: str | Durability | None) -> Durability | None:
    """Return the mode that a setting names.

    Raises:
        InvalidInput: there is no mode of that name.
    """
    try:
        return None if text is None else Durability(text)
    except ValueError:
        names = ", ".join(mode.value for mode in Durability)
        raise InvalidInput("durability", text, f"give one of {names}") from None


#: The required settings of a server by mode: the values that are enough; errors advise the first.
_FSYNC: Final[Mapping[Durability | None, Mapping[str, tuple[str, ...]]]] = {
    Durability.EVERYSEC: {
        "appendfsync": ("everysec", "always"),
        "no-appendfsync-on-rewrite": ("no",),
    },
    Durability.ALWAYS: {"appendfsync": ("always",), "no-appendfsync-on-rewrite": ("no",)},
}
#: The settings to ask the server for.
SETTINGS: Final = ("appendfsync", "no-appendfsync-on-rewrite", "save")


class KeepsNothing(UserWarning):
    """The server's disk does not keep acknowledged writes.

    When a server without persistence stops, all jobs and events are lost. A primary that restarts
    before a replica takes over has only the data on its own disk; the replicas follow it, even
    after they confirmed more.
    """


def check_durability(facts: ServerFacts, wanted: Durability | None, where: str) -> None:
    """Compare the persistence of a server with the requested mode.

    Raises:
        UnsupportedCapability: the server is less durable.
    """
    if wanted is None or wanted not in _FSYNC:
        return
    if not facts.has_log:
        raise UnsupportedCapability(
            f"{where} has no append-only file, so durability {wanted.value!r} is not available: "
            f"set appendonly to yes"
        )
    for name, enough in _FSYNC[wanted].items():
        value = facts.settings.get(name)
        if value is not None and value not in enough:
            raise UnsupportedCapability(
                f"{where} has {name} {value!r}, so durability {wanted.value!r} is not available: "
                f"set {name} to {enough[0]}, or choose a lower durability"
            )


def concern_of(facts: ServerFacts, wanted: Durability | None, where: str) -> str | None:
    """Return the text of the :class:`KeepsNothing` warning for a server; None: no warning."""
    if wanted is Durability.NONE or facts.has_log:
        return None
    if wanted is Durability.REPLICATED:
        loss = (
            "has no append-only file: if it restarts before a replica takes over, "
            "acknowledged writes are lost, on the replicas too"
        )
    elif facts.settings.get("save") == "":
        loss = "keeps no data on disk: when it stops, all jobs and events are lost"
    else:
        return None
    return f"{where} {loss}; set appendonly to yes"


#: How long replicas have to confirm a write by default, in seconds.
REPLICA_TIMEOUT: Final = 1.0
