"""Pure functions of the queue: ordering, matching, retries, measurements and scaling.

Nothing here does I/O, reads a clock or draws randomness (I1): instants are parameters, and the
jitter of a backoff comes from a seed.
"""
