"""Serving: a control plane on an address, until the process is asked to stop."""

from __future__ import annotations

import re
import signal
import socket
from contextlib import contextmanager
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Final

import uvicorn

from cicd_core.errors import InvalidInput
from cicd_core.http.server.access import is_loopback
from cicd_core.http.server.app import create_app
from cicd_core.http.server.demo_mode import BANNER, DemoMode
from cicd_core.http.server.limits import DEFAULT_LIMITS, Limits
from cicd_core.http.server.protocol import bounded_by
from cicd_core.values import frozen

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator, Iterable

    from starlette.types import ASGIApp

    from cicd_core.control_plane.job_logs import JobLogService
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.http.server.access import Access
    from cicd_core.http.server.waiting import Waiting

_BASE_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")


def uvicorn_options(limits: Limits) -> dict[str, Any]:
    """Return the options of uvicorn for the application, without its address."""
    return {
        "http": bounded_by(limits),
        "ws": "none",
        "lifespan": "off",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_keep_alive": limits.idle_seconds,
        "timeout_graceful_shutdown": limits.grace_seconds,
    }


@frozen(kw_only=True)
class Listening:
    """The address to listen on, and its options."""

    host: str = "127.0.0.1"
    #: 0: any free port.
    port: int = 8000
    #: The certificate with its chain, and its private key: both together turn HTTPS on.
    certfile: str | os.PathLike[str] | None = None
    keyfile: str | os.PathLike[str] | None = None
    #: Addresses, or networks such as ``10.0.0.0/8``, of proxies whose ``X-Forwarded-For`` and
    #: ``X-Forwarded-Proto`` are trusted. Those of others are ignored.
    trusted_proxies: tuple[str, ...] = ()
    #: The path prefix that a proxy removes from each request, such as ``/ci``: addresses that the
    #: server returns begin with it.
    base_path: str = ""

    def __attrs_post_init__(self) -> None:
        """Refuse half a certificate, invalid proxies, and an invalid base path."""
        _check_base_path(self.base_path)
        for proxy in self.trusted_proxies:
            try:
                ip_network(proxy)
            except ValueError:
                reason = "give the address of a proxy, or a network such as 10.0.0.0/8"
                raise InvalidInput("trusted_proxies", proxy, reason) from None
        if (self.certfile is None) != (self.keyfile is None):
            missing = "certfile" if self.certfile is None else "keyfile"
            raise InvalidInput(missing, None, "give both the certificate and its key, or neither")


def _check_base_path(path: str) -> None:
    """Check the path prefix of every address that the server returns.

    Raises:
        InvalidInput: it is not a path, or has segments that browsers remove.
    """
    if path and not _BASE_PATH.fullmatch(path):
        reason = "give a path such as /ci, with a slash at its start and none at its end"
        raise InvalidInput("base_path", path, reason)
    if {".", ".."} & {*path.split("/")}:
        reason = "give a path without the steps . and ..: browsers take them out of every address"
        raise InvalidInput("base_path", path, reason)


async def serve(
    control_plane: ControlPlane,
    listening: Listening,
    *,
    auth: Access | None = None,
    job_logs: JobLogService | None = None,
    allowed_origins: Iterable[str] = (),
    status_page: bool = False,
    demo: ControlPlane | None = None,
    limits: Limits = DEFAULT_LIMITS,
    on_ready: Callable[[str], object] = lambda _: None,
) -> None:
    """Serve a control plane until SIGTERM, SIGINT or SIGHUP, on asyncio.

    It stops gracefully: it accepts nothing new, answers requests that wait for work with 204, and
    gives running requests ``limits.grace_seconds`` to finish. A second signal ends it at once.

    Args:
        control_plane: the control plane; you close it.
        listening: the address to listen on.
        auth: how to authenticate callers; by default, only programs on this machine are answered.
        job_logs: the logs of jobs; without it, the server stores none.
        allowed_origins: see ``create_app``.
        status_page: see ``create_app``.
        demo: a control plane with made-up data: it answers requests with the header
            ``x-demo-mode: true``, and all requests if it is ``control_plane`` itself.
        limits: how much one caller may use.
        on_ready: called with the URL when the server listens.

    Raises:
        InvalidInput: the address is reachable from other machines, but there is no ``auth``.
        OSError: the address can't be listened on, or the certificate can't be read.
    """
    if auth is None and not is_loopback(listening.host):
        reason = (
            "without keys, the server listens only on 127.0.0.1, ::1 or localhost; require keys "
            "(--require-auth)"
        )
        raise InvalidInput("host", listening.host, reason)
    origins = tuple(allowed_origins)
    app = create_app(
        control_plane,
        auth=auth,
        limits=limits,
        job_logs=job_logs,
        allowed_origins=origins,
        status_page=status_page,
        banner=BANNER if demo is control_plane else None,
    )
    served: ASGIApp = app
    waitings = [app.state.waiting]
    if demo is not None:
        made_up = create_app(
            demo,
            auth=auth,
            limits=limits,
            allowed_origins=origins,
            status_page=status_page,
            banner=BANNER,
        )
        served = DemoMode(app, made_up, always=demo is control_plane)
        waitings.append(made_up.state.waiting)
    config = uvicorn.Config(
        served,
        host=listening.host,
        port=listening.port,
        ssl_certfile=listening.certfile,
        ssl_keyfile=listening.keyfile,
        root_path=listening.base_path,
        proxy_headers=bool(listening.trusted_proxies),
        forwarded_allow_ips=list(listening.trusted_proxies),
        **uvicorn_options(limits),
    )
    config.load()
    server = _Server(config, waitings, on_ready)
    listener = listen(listening)
    try:
        await server.serve([listener])
    finally:
        listener.close()


class _Server(uvicorn.Server):
    """Reports its address, and ends waiting requests before it waits for running ones."""

    def __init__(
        self,
        config: uvicorn.Config,
        waitings: Iterable[Waiting],
        on_ready: Callable[[str], object],
    ) -> None:
        super().__init__(config)
        self._waitings = tuple(waitings)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            self._on_ready(_url(listener, is_tls=self.config.is_ssl))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for waiting in self._waitings:
            waiting.stop()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Stop at a signal; unlike uvicorn, exit normally after that."""
        # `nohup` ignores a signal on purpose: that stays.
        heard = [each for each in _SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
        before = {each: signal.signal(each, self._on_signal) for each in heard}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def _on_signal(self, *_: Any) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True


#: A closed terminal sends SIGHUP, which Windows does not have.
_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


def listen(listening: Listening) -> socket.socket:
    """Return a listening socket.

    The socket names its protocol, unlike that of :func:`socket.create_server`: only then does
    asyncio send a small answer at once. Otherwise the body waits 40 ms, until the caller's machine
    acknowledges the head.

    Raises:
        OSError: the address is in use, or does not belong to this machine.
    """
    family = socket.AF_INET6 if ":" in listening.host else socket.AF_INET
    made = socket.create_server((listening.host, listening.port), family=family, backlog=2048)
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=made.detach())


def _url(listener: socket.socket, *, is_tls: bool) -> str:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if is_tls else 'http'}://{shown}:{port}"
