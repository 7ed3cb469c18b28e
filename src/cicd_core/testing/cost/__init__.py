"""The cost of each verb of a store with few records and with many: ``python -m …testing.cost``.

The contract says that the cost of a verb does not grow with the size of the store. This measures
it on any store: with the store's own counts, if it has any, and otherwise with the clock.
"""
