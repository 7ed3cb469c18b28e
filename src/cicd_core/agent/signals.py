"""SIGTERM, SIGINT and SIGHUP: a signal drains the agents of this process, the second ends them.

Signals belong to the program. An agent handles those that its program leaves alone, and no others;
where a handler comes later, that one holds. A signal is never swallowed: one that arrives when no
agent listens does what it did before. A forked child has the default handlers: what stops a child
does not drain its parent.
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

#: What service managers and terminals send to a program that is to end.
_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)
)
#: Ctrl-C, and a terminal that is closed: a shell or ``nohup`` that ignores them means it.
_MAY_BE_IGNORED: Final = tuple(item for item in _SIGNALS if item != signal.SIGTERM)
#: Event loops handle Ctrl-C until a program does.
_LOOPS: Final = frozenset({"asyncio.runners", "trio._core._ki"})

_Handler = Callable[[int, FrameType | None], Any] | int | None


class _Listener:
    """One agent that drains by signals."""

    def __init__(self, drain: Drain, run_soon: RunSoon) -> None:
        self._drain = drain
        self._run_soon = run_soon
        self._again = False

    def hear(self, number: signal.Signals) -> None:
        """Take a signal, in the middle of anything: the event loop does the rest."""
        self._run_soon(lambda: self._ask(number))

    def _ask(self, number: signal.Signals) -> None:
        _log.info("%s: %s", number.name, "stopping at once" if self._again else "draining")
        self._drain.ask(f"{number.name} was received", at_once=self._again)
        self._again = True


class _Switchboard:
    """The handlers of this process, installed while an agent listens. For the main thread."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._listeners: tuple[_Listener, ...] = ()
        #: What was there before. It is kept when the last agent has gone: a program may put our
        #: handler back later, where it found it.
        self._before: dict[signal.Signals, _Handler] = {}
        #: What the threads that fork just now had blocked before.
        self._masks = threading.local()

    def add(self, listener: _Listener) -> None:
        """Let a listener hear what comes from now on."""
        self._listeners += (listener,)
        for number in _SIGNALS:
            self._install(number)

    def remove(self, listener: _Listener) -> None:
        """Let it hear nothing more; the last one puts back what was there before."""
        self._listeners = tuple(one for one in self._listeners if one is not listener)
        if not self._listeners:
            for number in _SIGNALS:
                self._put_back(number)

    def hold_back(self) -> None:
        """Keep signals from the thread that forks, and so from the child, which would lose them."""
        if self._listeners:
            self._masks.found = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

    def let_through(self) -> None:
        """Take what was held back."""
        found = getattr(self._masks, "found", None)
        if found is not None:
            self._masks.found = None
            signal.pthread_sigmask(signal.SIG_SETMASK, found)

    def begin_as_child(self) -> None:
        """Take the default handlers, in a forked child, and what was sent to it meanwhile."""
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
        if os.getpid() != self._process:  # forked by something that runs no hooks
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

    Signals reach the main thread alone; in any other one this does nothing.
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
    """Whether the program leaves a signal alone."""
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
