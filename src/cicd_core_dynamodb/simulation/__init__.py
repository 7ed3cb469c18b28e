"""How claims behave where many contend: the store's own code against simulated partitions.

``python -m cicd_core_dynamodb.simulation`` shows it for several fleets. Time is virtual, and what
chance decides comes from a seed.
"""
