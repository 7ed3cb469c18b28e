"""Who takes part, over what, and what each one does not promise."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from attrs import frozen

from tests.redis.engines import open_server, redis_server, valkey

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


@frozen(kw_only=True)
class Contestant:
    """A runner, and what tells it what to be."""

    script: str
    #: What its users do without, beside a store with leases, attempts, history and counters.
    lacks: str = ""
    level: str = "plane"
    #: Single calls block it, so 64 callers are 64 threads; or it runs on one caller alone.
    callers: tuple[int, ...] = (1, 16, 64)

    @property
    def is_peer(self) -> bool:
        """Whether it runs in an environment of its own."""
        return self.script.startswith("peer_")


_STORE: Final = Contestant(script="ours.py", level="store", lacks="decisions and checks")
_PLANE: Final = Contestant(script="ours.py")

#: By the kind of store: a name in the tables, and who that is.
CONTESTANTS: Final[dict[str, dict[str, Contestant]]] = {
    "redis": {
        "raw": Contestant(script="raw.py", level="connection", lacks="all: the least scripts"),
        "ours: store": _STORE,
        "ours": _PLANE,
        "BullMQ, Node": Contestant(
            script="peer_bullmq.mjs", lacks="fencing of a late worker's log, counters, audit"
        ),
        "BullMQ, Python": Contestant(script="peer_bullmq.py", lacks="the same"),
        "SAQ": Contestant(script="peer_saq.py", lacks="fencing, history, priorities"),
        "taskiq": Contestant(script="peer_taskiq.py", lacks="leases, acknowledgement, history"),
        "Huey": Contestant(script="peer_huey.py", lacks="leases, acknowledgement, history"),
    },
    "sqlite": {
        "raw": Contestant(script="raw_sqlite.py", lacks="all: the least statements"),
        "ours: store": _STORE,
        "ours": _PLANE,
        "litequeue": Contestant(script="peer_litequeue.py", lacks="leases, retries, history"),
        "Huey": Contestant(script="peer_huey_sqlite.py", lacks="leases, acknowledgement, history"),
    },
    "memory": {
        "ours: store": _STORE,
        "ours": _PLANE,
        "APScheduler 4": Contestant(
            script="peer_apscheduler.py", lacks="fencing, retries, history", callers=(1,)
        ),
    },
}
#: How many jobs a queue is filled with, again and again: one at a time where there is no bulk call.
DEPTHS: Final = {"redis": 5_000, "sqlite": 1_500, "memory": 5_000}
#: What a store of each kind keeps when the power fails: the first is the one that is measured.
DURABILITIES: Final = {"redis": ("none",), "sqlite": ("normal", "full"), "memory": ("none",)}


@frozen
class Place:
    """An empty store, for one measurement."""

    url: str
    #: The process that serves it, if it has one.
    server_pid: int | None = None


@contextmanager
def opened(kind: str, folder: Path, number: int) -> Generator[Place, None, None]:
    """Make an empty store of a kind: a server of its own, a file, or nothing."""
    with ExitStack() as stack:
        if kind == "redis":
            server = stack.enter_context(open_server(redis_server() or valkey()))
            yield Place(server.url, server.pid)
        elif kind == "sqlite":
            path = folder / f"{number}.db"
            yield Place(f"sqlite:///{path}")
            for each in folder.glob(f"{path.name}*"):
                each.unlink()
        else:
            yield Place("memory://")
