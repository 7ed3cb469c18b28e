"""The servers that the tests run on start, end and come back as the tests rely on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from tests.redis.waiting import EngineError, until
from tests.runtime.processes import is_alive

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.redis.engines import Engine, Server


def test_a_server_answers_on_tcp_and_on_its_socket(server: Server) -> None:
    with redis.Redis.from_url(server.url) as tcp, redis.Redis.from_url(server.unix_url) as unix:
        assert tcp.info("server")["process_id"] == unix.info("server")["process_id"] == server.pid


def test_each_engine_starts(engine: Engine, start: Callable[..., Server]) -> None:
    server = start(engine)
    assert server.info("server")["redis_version"].startswith("7.")
    assert engine.version >= (7, 0)


def test_what_was_acknowledged_survives_a_kill_with_aof_always(
    engine: Engine, start: Callable[..., Server]
) -> None:
    server = start(engine, appendonly=True, appendfsync="always")
    server.ask("SET", "kept", "yes")
    pid, port = server.pid, server.port
    server.kill()
    server.start()
    assert server.ask("GET", "kept") == "yes"
    assert (server.port, server.pid) != (port, pid)
    assert server.port == port


def test_a_killed_server_without_aof_has_forgotten(start: Callable[..., Server]) -> None:
    server = start()
    server.ask("SET", "kept", "no")
    server.kill()
    with pytest.raises(redis.ConnectionError):
        server.ask("PING")
    server.start()
    assert server.ask("GET", "kept") is None


def test_a_paused_server_answers_when_it_goes_on(start: Callable[..., Server]) -> None:
    server = start()
    with server.client() as client:
        server.pause()
        client.connection_pool.connection_kwargs["socket_timeout"] = 0.05
        with pytest.raises(redis.TimeoutError):
            client.ping()
        server.resume()
        assert client.ping()


def test_a_server_is_held_where_it_has_written_all_that_it_answered(
    engine: Engine, start: Callable[..., Server]
) -> None:
    server = start(engine, appendonly=True, appendfsync="everysec")
    for number in range(3):
        server.ask("SET", "last", number)
        assert server.hold(most=0) == 0
        server.kill()
        server.start()
        assert server.ask("GET", "last") == str(number)


def test_settings_change_at_a_restart(start: Callable[..., Server]) -> None:
    server = start(maxmemory="3mb")
    server.restart(maxmemory_policy="noeviction", maxmemory="2mb")
    assert server.ask("CONFIG", "GET", "maxmemory") == {"maxmemory": str(2 << 20)}


def test_a_server_that_loads_listens_already(engine: Engine, start: Callable[..., Server]) -> None:
    server = start(engine)
    server.ask("DEBUG", "POPULATE", 2000)
    server.ask("SAVE")
    server.kill()
    # It looks at its clients after each KiB, and sleeps for 2 ms after each key.
    server.start(wait=False, key_load_delay=2000, loading_process_events_interval_bytes=1024)
    with pytest.raises(redis.exceptions.BusyLoadingError):
        server.ask("GET", "key:1")


def test_a_server_that_cannot_start_says_why(start: Callable[..., Server]) -> None:
    with pytest.raises(EngineError, match="no-such-setting"):
        start(no_such_setting="1")


def test_servers_end_with_a_process_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "starts.py"
    script.write_text(
        "from tests.redis.engines import shared_server\n"
        "print(shared_server().pid, shared_server().folder, flush=True)\n"
        "input()\n"
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": str(root)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        pid, folder = process.stdout.readline().split()
        assert Path(folder).exists()
        process.kill()
    until(lambda: not Path(folder).exists())
    until(lambda: not is_alive(int(pid)))
