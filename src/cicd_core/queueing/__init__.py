"""How a queue orders, matches, retries, measures and sizes its work: pure functions.

Nothing here does I/O, reads a clock or draws randomness (I1): instants come in as parameters, and
what looks random (the jitter of a backoff) comes from a seed.
"""
