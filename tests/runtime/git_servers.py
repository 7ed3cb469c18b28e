"""Real git servers to fetch from: smart HTTP by `git http-backend`, and what stands for ssh."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from attrs import define, field

if TYPE_CHECKING:
    import ssl
    from collections.abc import Generator
    from pathlib import Path

#: Stands for ssh: runs on this machine the command that the other one would get.
SSH = """#!/bin/sh
while [ "$1" != "${1#-}" ]; do
  case "$1" in -o|-i|-F|-p) shift 2;; *) shift;; esac
done
shift
exec sh -c "$*"
"""


@define
class GitServer:
    """A server of the repositories below a folder, and what it was asked."""

    root: Path
    url: str = ""
    #: Whether it speaks version 2 of the protocol, which gives every object by its id.
    modern: bool = True
    #: The `user:password` that each request must have.
    credentials: str | None = None
    #: The requests so far: method, path and query.
    requests: list[str] = field(factory=list)

    @property
    def packs(self) -> int:
        """How often a pack was asked for, or the refs of version 2."""
        return sum(line.startswith("POST") for line in self.requests)


@contextmanager
def git_server(
    root: Path,
    *,
    modern: bool = True,
    credentials: str | None = None,
    tls: ssl.SSLContext | None = None,
) -> Generator[GitServer]:
    """Serve the repositories below a folder on a free port of this machine."""
    facts = GitServer(root, modern=modern, credentials=credentials)

    class Handler(_Handler):
        server_facts = facts

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    facts.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield facts
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server_facts: GitServer

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self._body())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep quiet."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, body: bytes) -> None:
        facts = self.server_facts
        facts.requests.append(f"{self.command} {self.path}")
        if facts.credentials is not None:
            wanted = f"Basic {base64.b64encode(facts.credentials.encode()).decode()}"
            if self.headers.get("Authorization") != wanted:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
        done = subprocess.run(
            ["git", "http-backend"],
            input=body,
            env=self._environment(),
            capture_output=True,
            check=False,
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _environment(self) -> dict[str, str]:
        parts = urlsplit(self.path)
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.server_facts.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        if self.server_facts.modern:
            environment["GIT_PROTOCOL"] = self.headers.get("Git-Protocol", "")
        return environment
