"""Real engines for the tests, each a process of its own on 127.0.0.1, ended by its number.

`ministack` comes from PyPI, into an environment of its own, since it pins a botocore that is not
ours. `dynoxide` is one program from npm, and is taken only if it is the one that we know; where
there is no npm, ministack alone does. Both are fetched once, and kept in `.nox/engines`.
"""

from __future__ import annotations

import atexit
import base64
import hashlib
import http.client
import os
import platform
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import define, frozen

from tests.lifeline import Guarded
from tests.patience import PATIENCE
from tests.required import REQUIRED, is_every_engine_required

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

MINISTACK: Final = "ministack==1.5.33"
DYNOXIDE: Final = "@dynoxide/linux-x64@1.2.1"
#: Its sha512, as npm writes it.
DYNOXIDE_IS: Final = (
    "sBHqlxJ9ANkLluFkYRfd5r8Y0ApFew4FhOrlhgRAgD4XzEoFOukEo1nuBTQ1+jTtofqwn4NWQ2k0Tn5mNTjgUg=="
)
#: Where what was fetched is kept.
KEPT: Final = Path(
    os.environ.get("CICD_CORE_ENGINES", Path(__file__).parents[2] / ".nox" / "engines")
)

#: What AWS's driver insists on; the engines take anybody.
os.environ.setdefault("AWS_ACCESS_KEY_ID", "test")
os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "test")
os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")


class EngineError(Exception):
    """An engine cannot be had, or does not start."""


@frozen
class Engine:
    """A program that speaks DynamoDB's protocol."""

    name: str
    #: Return the command that runs it on a port.
    command: Callable[[int], list[str]]
    #: Return what its environment has besides.
    environment: Callable[[int], dict[str, str]]


@define(eq=False)
class Server:
    """A running engine."""

    engine: Engine
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(PATIENCE)


def engines() -> list[str]:
    """Return the names of the engines that this machine can have, the quickest one first.

    Raises:
        EngineError: the environment requires all that there are for this machine, and one cannot
            be had.
    """
    is_built = platform.machine() == "x86_64" and sys.platform == "linux"
    can_npm = shutil.which("npm") is not None
    if is_built and not can_npm and is_every_engine_required():
        raise EngineError(f"{REQUIRED} is set, and there is no npm on PATH to have dynoxide by")
    return [*(["dynoxide"] if is_built and can_npm else []), "ministack"]


@cache
def running(name: str) -> Server:
    """Return an engine that runs as long as this process does."""
    folder = Path(tempfile.mkdtemp(prefix=f"cicd-core-{name}-"))
    server = start(name, folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.stop)
    return server


@contextmanager
def started(name: str, mix: str | None = None) -> Generator[Server, None, None]:
    """An engine of one's own; or a faulty proxy of one's own, before one that all share."""
    with tempfile.TemporaryDirectory(prefix=f"cicd-core-{name}-") as folder:
        if mix is None:
            server = start(name, Path(folder))
        else:
            server = _served(_proxy(running(name).endpoint, mix), Path(folder))
        try:
            yield server
        finally:
            server.stop()


@cache
def proxied(name: str, mix: str) -> Server:
    """Return a faulty proxy before an engine, which runs as long as this process does."""
    folder = Path(tempfile.mkdtemp(prefix=f"cicd-core-{mix}-"))
    server = _served(_proxy(running(name).endpoint, mix), folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.stop)
    return server


def start(name: str, folder: Path) -> Server:
    """Start an engine; its log is in the folder.

    Raises:
        EngineError: it cannot be had, or does not answer.
    """
    return _served({"ministack": _ministack, "dynoxide": _dynoxide}[name](), folder)


def _served(engine: Engine, folder: Path) -> Server:
    port = _free_port()
    log = folder / "engine.log"
    with log.open("wb") as output:
        process = Guarded(
            engine.command(port),
            env={**os.environ, **engine.environment(port)},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(engine, port, process, log)
    try:
        _await_answer(server)
    except BaseException:
        server.stop()
        raise
    return server


def _proxy(endpoint: str, mix: str) -> Engine:
    words = [sys.executable, "-m", "tests.dynamodb.fault_proxy", "--engine", endpoint, "--mix", mix]
    return Engine(
        mix,
        command=lambda port: [*words, "--port", str(port)],
        environment=lambda _: {"PYTHONPATH": str(Path(__file__).parents[2])},
    )


@cache
def _ministack() -> Engine:
    home = KEPT / MINISTACK.replace("==", "-")
    program = home / "bin" / "ministack"
    _once(home, program, _install_ministack)
    return Engine(
        "ministack",
        command=lambda _: [str(program)],
        environment=lambda port: {
            "BIND_HOST": "127.0.0.1",  # it would listen everywhere
            "GATEWAY_PORT": str(port),
            "SERVICES": "dynamodb",
            "LOG_LEVEL": "WARNING",
        },
    )


def _install_ministack(home: Path) -> None:
    venv.create(home, with_pip=True, symlinks=True)
    _run([str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", MINISTACK])


@cache
def _dynoxide() -> Engine:
    home = KEPT / "dynoxide-1.2.1"
    program = home / "package" / "dynoxide"
    _once(home, program, _unpack_dynoxide)
    return Engine(
        "dynoxide",
        command=lambda port: [str(program), "--host", "127.0.0.1", "--port", str(port)],
        environment=lambda _: {},
    )


def _unpack_dynoxide(home: Path) -> None:
    home.mkdir(parents=True)
    _run(["npm", "pack", "--silent", "--pack-destination", str(home), DYNOXIDE])
    (archive,) = home.glob("*.tgz")
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != DYNOXIDE_IS:
        raise EngineError(f"{DYNOXIDE} is another one than we know: sha512-{found}")
    with tarfile.open(archive) as package:
        package.extractall(home, filter="data")
    (home / "package" / "dynoxide").chmod(0o755)


def _once(home: Path, program: Path, make: Callable[[Path], None]) -> None:
    """Make a folder whole, or not at all, though several processes want it at once."""
    KEPT.mkdir(parents=True, exist_ok=True)
    lock = KEPT / f"{home.name}.lock"
    deadline = time.monotonic() + 10 * PATIENCE
    while not program.exists():
        try:
            lock.mkdir()
        except FileExistsError:
            if time.monotonic() > deadline:
                raise EngineError(f"nobody finishes {home}: remove {lock}") from None
            time.sleep(0.2)
            continue
        try:
            shutil.rmtree(home, ignore_errors=True)
            make(home)
        finally:
            lock.rmdir()


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineError(f"{' '.join(command)}: {done.stdout}{done.stderr}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_answer(server: Server) -> None:
    deadline = time.monotonic() + PATIENCE
    while server.process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=1)
            connection.request("GET", "/")
            connection.getresponse().read()
            connection.close()
            return
        time.sleep(0.02)
    raise EngineError(f"{server.engine.name} does not answer:\n{server.log.read_text()}")
