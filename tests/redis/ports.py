"""Ports of the loopback that stay ours while nobody listens on them: a server may come back."""

from __future__ import annotations

import random
import socket
from typing import Final

from attrs import define

#: Below the ephemeral ports of Linux and macOS: a client that tries a dead port again and again
#: would, in their range, at some time be given that port for itself, and talk to itself.
_FIRST: Final = 20_000
_LAST: Final = 32_000


@define(eq=False)
class Port:
    """A TCP port on 127.0.0.1; a UDP socket of the same number keeps it from other test runs."""

    number: int
    _claim: socket.socket

    @classmethod
    def reserve(cls) -> Port:
        """Find a port that is free, and that no other test run has reserved.

        Raises:
            OSError: a thousand ports at random were all taken.
        """
        for number in random.sample(range(_FIRST, _LAST), 1000):
            claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                claim.bind(("127.0.0.1", number))
                _try_to_listen(number)
            except OSError:
                claim.close()
            else:
                return cls(number, claim)
        raise OSError("no port between 20000 and 32000 of 127.0.0.1 is free; end what uses them")

    def free(self) -> None:
        """Give the port up."""
        self._claim.close()


def _try_to_listen(number: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        # As the servers do: connections that have ended and linger hinder nobody.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", number))
        listener.listen()
