"""How claims behave where many contend: the store's own code against simulated partitions.

``python -m benchmarks.dynamodb_contention`` shows it for several fleets. Time is virtual, and what
chance decides comes from a seed.
"""
