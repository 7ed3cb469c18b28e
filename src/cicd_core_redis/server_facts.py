"""Facts that a server reports about itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@frozen(kw_only=True)
class ServerFacts:
    """A server's INFO, and the settings that it reports."""

    #: Its version, as numbers to compare; None: it reports none.
    version: tuple[int, ...] | None
    is_loading: bool
    is_in_cluster: bool
    #: Whether it has an append-only file.
    has_log: bool
    #: Its ``maxmemory-policy``, and whether it would evict keys of the store.
    eviction: str
    evicts_ours: bool
    #: The settings that it reports by name: many hosted servers report none.
    settings: Mapping[str, str]

    @classmethod
    def of(cls, info: bytes, settings: Sequence[list[bytes] | bytes | Exception]) -> ServerFacts:
        """Return the facts in the answers to INFO and CONFIG GET, which may be refusals."""
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
            # The volatile policies evict keys with a time to live; no key of the store has one.
            evicts_ours=policy.startswith("allkeys") and facts.get("maxmemory", "0") != "0",
            settings={name.decode(): value.decode() for name, value in pairs},
        )
