"""What the server keeps when it dies: what was asked for, checked against what it does."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from cicd_core.errors import InvalidInput, UnsupportedCapability

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cicd_core_redis.server_facts import ServerFacts


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
_FSYNC: Final[Mapping[Durability | None, Mapping[str, tuple[str, ...]]]] = {
    Durability.EVERYSEC: {
        "appendfsync": ("everysec", "always"),
        "no-appendfsync-on-rewrite": ("no",),
    },
    Durability.ALWAYS: {"appendfsync": ("always",), "no-appendfsync-on-rewrite": ("no",)},
}
#: The settings that are asked for.
SETTINGS: Final = ("appendfsync", "no-appendfsync-on-rewrite", "save")


class KeepsNothing(UserWarning):
    """The server's disk does not keep what was acknowledged.

    When a server that keeps nothing ends, every job and every event is gone. A primary that is
    started again before a replica has taken over comes back with what its own disk has; the
    replicas follow it, whatever they confirmed.
    """


def check_durability(facts: ServerFacts, wanted: Durability | None, where: str) -> None:
    """Compare what a server keeps on its disk with what is asked for.

    Raises:
        UnsupportedCapability: it keeps less.
    """
    if wanted is None or wanted not in _FSYNC:
        return
    if not facts.has_log:
        raise UnsupportedCapability(
            f"{where} has no append-only file, so durability {wanted.value!r} is not to be had: "
            f"set appendonly to yes"
        )
    for name, enough in _FSYNC[wanted].items():
        value = facts.settings.get(name)
        if value is not None and value not in enough:
            raise UnsupportedCapability(
                f"{where} has {name} {value!r}, so durability {wanted.value!r} is not to be had: "
                f"set {name} to {enough[0]}, or ask for less"
            )


def concern_of(facts: ServerFacts, wanted: Durability | None, where: str) -> str | None:
    """Return what :class:`KeepsNothing` says of a server; None: nothing."""
    if wanted is Durability.NONE or facts.has_log:
        return None
    if wanted is Durability.REPLICATED:
        loss = (
            "has no append-only file: if it is started again before a replica has taken over, "
            "what was acknowledged is lost, on the replicas too"
        )
    elif facts.settings.get("save") == "":
        loss = "keeps nothing on its disk: when it ends, every job and every event is gone"
    else:
        return None
    return f"{where} {loss}; set appendonly to yes"


#: How long replicas have to confirm a write by default, in seconds.
REPLICA_TIMEOUT: Final = 1.0
