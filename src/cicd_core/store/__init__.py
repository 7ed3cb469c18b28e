"""The store contract, the codec, and the stores that need no other package."""
