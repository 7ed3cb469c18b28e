"""What a server says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@frozen(kw_only=True)
class ServerFacts:
    """A server's INFO, and the settings that it tells."""

    #: Its version, so that two can be compared; None: it tells none.
    version: tuple[int, ...] | None
    is_loading: bool
    is_in_cluster: bool
    #: Whether it has an append-only file.
    has_log: bool
    #: Its ``maxmemory-policy``, and whether it would throw away keys of ours.
    eviction: str
    evicts_ours: bool
    #: Settings that it told by name: many servers that are rented tell none.
    settings: Mapping[str, str]

    @classmethod
    def of(cls, info: bytes, settings: Sequence[list[bytes] | bytes | Exception]) -> ServerFacts:
        """Return what an answer to INFO says, and those to CONFIG GET, refusals among them."""
        lines = info.decode(errors="replace").splitlines()
        facts = dict(line.split(":", 1) for line in lines if ":" in line)
        parts = facts.get("redis_version", "").split(".")
        policy = facts.get("maxmemory_policy", "noeviction")
        pairs = [setting for setting in settings if isinstance(setting, list) and setting]
        return cls(
            version=tuple(map(int, parts)) if all(map(str.isdigit, parts)) else None,
            is_loading=facts.get("loading") == "1",
            is_in_cluster=facts.get("cluster_enabled") == "1",
            has_log=facts.get("aof_enabled") == "1",
            eviction=policy,
            # The volatile ones take keys that have a time to live; none of ours has.
            evicts_ours=policy.startswith("allkeys") and facts.get("maxmemory", "0") != "0",
            settings={name.decode(): value.decode() for name, value in pairs},
        )
