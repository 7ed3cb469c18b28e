"""What each verb of a store costs with few records and with many: ``python -m …testing.cost``.

The contract says that no verb's cost grows with what the store holds. This measures it on a store
of any kind: by what the store counts, where it counts something, and by the clock otherwise.
"""
