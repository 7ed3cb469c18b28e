"""The only module that makes identifiers and random numbers."""

from __future__ import annotations

import os
import random
import secrets
import threading
from typing import Final

#: How far the time of an id may be after that given to :meth:`IdSource.sortable` (µs): its time
#: stands still while a clock is set back by less, and follows a clock set back by more.
MOST_AHEAD: Final = 60_000_000

#: Crockford's base 32: no I, L, O, U; texts sort like their numbers.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

_DIGITS = 26
_RANDOM_BITS = 80
_SHIFTS = range(5 * (_DIGITS - 1), -1, -5)
#: Two digits at a time, which halves the work.
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
_PAIR_SHIFTS = range(5 * (_DIGITS - 2), -1, -10)


class IdSource:
    """Makes the identifiers of one process. Thread-safe, and safe after a fork.

    Give a ``seed`` to make every identifier reproducible, only for a simulation or a test: in
    production, claim ids and session tokens must be unguessable.
    """

    def __init__(self, seed: int | None = None) -> None:
        """Draw from the system's randomness, or only from ``seed``."""
        self._random: random.Random = (
            random.SystemRandom() if seed is None else random.Random(seed)  # noqa: S311 - see above
        )
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._last = (0, 0)
        self._process = os.getpid()

    def sortable(self, micros: int) -> str:
        """Return a 26-character id that sorts by ``micros`` (UTC), then by the order of calls.

        The layout is that of a ULID (https://github.com/ulid/spec): 48 bits of milliseconds, then
        80 random bits, which grow by a random step within the same millisecond. The time is
        ``micros``, or up to :data:`MOST_AHEAD` later if it was later in a call before.
        """
        if os.getpid() != self._process:
            # A fork: another thread may have held the lock, and the parent continues from `_last`.
            self._begin()
        millis = micros // 1000
        with self._lock:
            last_millis, last_bits = self._last
            if last_millis - MOST_AHEAD // 1000 <= millis <= last_millis:
                millis = last_millis
                bits = last_bits + 1 + self._random.getrandbits(32)
            else:
                bits = self._random.getrandbits(79)  # one bit of room to grow
            self._last = (millis, bits)
        return _base32((millis << _RANDOM_BITS) | (bits & ((1 << _RANDOM_BITS) - 1)))

    def claim_id(self) -> str:
        """Return 128 random bits as 32 hexadecimal digits: the second half of a token."""
        return self._random.randbytes(16).hex()

    def commit_id(self) -> str:
        """Return 96 random bits as 24 hexadecimal digits, which make a commit repeatable."""
        return self._random.randbytes(12).hex()

    def session_token(self) -> str:
        """Return an unguessable token of 256 bits, safe in a URL."""
        return secrets.token_urlsafe(32)

    def api_key(self) -> tuple[str, str]:
        """Return a key id of 64 random bits, and its token with a secret of 256 bits."""
        key_id = secrets.token_hex(8)
        return key_id, f"cicd_{key_id}_{secrets.token_hex(32)}"

    def jitter(self) -> float:
        """Return a number from 0 up to 1, to spread retries and wake-ups over time."""
        return self._random.random()


def made_between(prefix: str) -> tuple[int, int] | None:
    """Return the times (µs, UTC) for which :meth:`IdSource.sortable` makes ids with a prefix.

    Returns:
        The first moment, and the first one after the last; None: no id has that prefix.
    """
    if len(prefix) > _DIGITS or any(letter not in _ALPHABET for letter in prefix):
        return None
    first, last = (
        sum(_ALPHABET.index(letter) << shift for letter, shift in zip(text, _SHIFTS, strict=True))
        >> _RANDOM_BITS
        for text in (prefix.ljust(_DIGITS, _ALPHABET[0]), prefix.ljust(_DIGITS, _ALPHABET[-1]))
    )
    return max(0, first * 1000 - MOST_AHEAD), (last + 1) * 1000


def _base32(number: int) -> str:
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in _PAIR_SHIFTS])
