"""SIGTERM, SIGINT and SIGHUP: the first one drains the agents of this process, the second ends.

Signals belong to the program. An agent handles only those that its program does not handle; a
handler that the program installs later replaces the agent's. No signal is swallowed: without a
listening agent, a signal has its previous effect. A forked child has the default handlers: a signal
that stops a child does not drain its parent.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from cicd_core.threads import run_soon_here

if TYPE_CHECKING:
    from collections.abc import Generator

    from cicd_core.agent.shutdown import Drain
    from cicd_core.threads import RunSoon

_log = logging.getLogger("cicd_core.agent")

#: Signals that service managers and terminals send to end a program.
_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)
)
#: Ctrl-C, and a closed terminal: if a shell or ``nohup`` ignores them, that is intended.
_MAY_BE_IGNORED: Final = tuple(item for item in _SIGNALS if item != signal.SIGTERM)
#: Modules of event loops, whose handlers of Ctrl-C a program may replace.
_LOOPS: Final = frozenset({"asyncio.runners", "trio._core._ki"})

_Handler = Callable[[int, FrameType | None], Any] | int | None


class _Listener:
    """One agent that drains on signals."""

    def __init__(self, drain: Drain, run_soon: RunSoon) -> None:
        self._drain = drain
        self._run_soon = run_soon
        self._again = False

    def hear(self, number: signal.Signals) -> None:
        """Take a signal at any point of the program; the event loop does the rest."""
        self._run_soon(lambda: self._ask(number))

    def _ask(self, number: signal.Signals) -> None:
        _log.info("%s: %s", number.name, "stopping at once" if self._again else "draining")
        self._drain.ask(f"{number.name} was received", at_once=self._again)
        self._again = True


class _Switchboard:
    """The handlers of this process, installed while an agent listens. Only for the main thread."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._listeners: tuple[_Listener, ...] = ()
        #: The previous handlers. They are kept after the last agent has ended: a program may
        #: install our handler again later, as the one that it found.
        self._before: dict[signal.Signals, _Handler] = {}
        #: The previous signal masks of threads that are forking.
        self._masks = threading.local()

    def add(self, listener: _Listener) -> None:
        """Pass signals to a listener from now on."""
        self._listeners += (listener,)
        for number in _SIGNALS:
            self._install(number)

    def remove(self, listener: _Listener) -> None:
        """Stop passing signals to a listener; the last one restores the previous handlers."""
        self._listeners = tuple(one for one in self._listeners if one is not listener)
        if not self._listeners:
            for number in _SIGNALS:
                self._put_back(number)

    def hold_back(self) -> None:
        """Block signals in the thread that forks, and so in the child, which would lose them."""
        if self._listeners:
            self._masks.found = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

    def let_through(self) -> None:
        """Unblock the signals."""
        found = getattr(self._masks, "found", None)
        if found is not None:
            self._masks.found = None
            signal.pthread_sigmask(signal.SIG_SETMASK, found)

    def begin_as_child(self) -> None:
        """Install the default handlers in a forked child, then handle signals sent meanwhile."""
        self._forget()
        self.let_through()

    def _forget(self) -> None:
        self._process = os.getpid()
        self._listeners = ()
        self._before = dict.fromkeys(_SIGNALS, signal.SIG_DFL)
        self._before[signal.SIGINT] = signal.default_int_handler
        for number in _SIGNALS:
            self._put_back(number)

    def _install(self, number: signal.Signals) -> None:
        found = signal.getsignal(number)
        if found == self._receive:
            return
        if not _is_free(number, found):
            _log.info("%s is handled by %s: it drains no agent", number.name, _shown(found))
            return
        self._before[number] = found
        signal.signal(number, self._receive)

    def _put_back(self, number: signal.Signals) -> None:
        if signal.getsignal(number) == self._receive:
            signal.signal(number, self._before[number])

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # forked without running the hooks
            self._forget()
        for listener in self._listeners:
            listener.hear(signal.Signals(number))
        if not self._listeners:
            self._put_back(signal.Signals(number))
            signal.raise_signal(number)


_switchboard: Final = _Switchboard()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_switchboard.hold_back,
        after_in_parent=_switchboard.let_through,
        after_in_child=_switchboard.begin_as_child,
    )


@contextmanager
def drained_by_signals(drain: Drain) -> Generator[None]:
    """Drain at the first SIGTERM, SIGINT or SIGHUP, and stop everything at the second one.

    Python handles signals only in the main thread; in any other thread this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        _log.info("only the main thread handles signals: they do not drain this agent")
        yield
        return
    listener = _Listener(drain, run_soon_here())
    _switchboard.add(listener)
    try:
        yield
    finally:
        _switchboard.remove(listener)


def _is_free(number: signal.Signals, handler: _Handler) -> bool:
    """Return whether the program does not handle a signal itself."""
    if handler == signal.SIG_IGN:
        return number not in _MAY_BE_IGNORED
    if handler in {signal.SIG_DFL, signal.default_int_handler}:
        return True
    function: Any = handler
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__module__", None) in _LOOPS


def _shown(handler: _Handler) -> str:
    if handler is None:
        return "a handler outside Python"
    if handler == signal.SIG_IGN:
        return "the parent process, which ignores it"
    module = getattr(handler, "__module__", type(handler).__module__)
    return f"{module}.{getattr(handler, '__qualname__', type(handler).__qualname__)}"
