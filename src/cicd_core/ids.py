"""The only module that makes identifiers and draws randomness."""

from __future__ import annotations

import random
import secrets
import threading

#: Crockford's base 32: no I, L, O, U; sorts as its numbers do.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class IdSource:
    """Makes the identifiers of one process. Safe to call from several threads.

    Give a ``seed`` to make every identifier reproducible, for a simulation or a test: never for
    production, since claim ids and session tokens must be unguessable.
    """

    def __init__(self, seed: int | None = None) -> None:
        """Draw from the system's randomness, or from ``seed`` alone."""
        self._random: random.Random = (
            random.SystemRandom() if seed is None else random.Random(seed)  # noqa: S311 - see above
        )
        self._lock = threading.Lock()
        self._last = (0, 0)

    def sortable(self, micros: int) -> str:
        """Return a 26-character id that sorts by ``micros`` (UTC), then by the order of calls.

        The layout is that of a ULID (https://github.com/ulid/spec): 48 bits of milliseconds, then
        80 random bits, which grow by a random step within the same millisecond.
        """
        millis = micros // 1000
        with self._lock:
            last_millis, last_bits = self._last
            if millis <= last_millis:
                millis = last_millis
                bits = last_bits + 1 + self._random.getrandbits(32)
            else:
                bits = self._random.getrandbits(79)  # one bit of room to grow
            self._last = (millis, bits)
        return _base32((millis << 80) | (bits & ((1 << 80) - 1)), 26)

    def claim_id(self) -> str:
        """Return 128 random bits as 32 hexadecimal digits: the second half of a token."""
        return f"{self._random.getrandbits(128):032x}"

    def commit_id(self) -> str:
        """Return 96 random bits as 24 hexadecimal digits: what makes a commit repeatable."""
        return f"{self._random.getrandbits(96):024x}"

    def session_token(self) -> str:
        """Return an unguessable token of 256 bits, safe in a URL."""
        return secrets.token_urlsafe(32)

    def jitter(self) -> float:
        """Return a number from 0 up to 1, to spread retries and wake-ups over time."""
        return self._random.random()


def _base32(number: int, digits: int) -> str:
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(5 * (digits - 1), -1, -5))
