"""The cost of each verb of a store with few records and with many: ``python -m …testing.cost``.

By the contract, the cost of a verb does not grow with the size of the store. This package measures
it on any store: by the store's own counts, if it has any, and otherwise by the clock.
"""
