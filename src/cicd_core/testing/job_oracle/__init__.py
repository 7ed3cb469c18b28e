"""The oracle of jobs: compares the answers to callers with the log of the store."""
