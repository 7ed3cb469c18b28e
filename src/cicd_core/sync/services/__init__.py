"""The services, made from the asynchronous ones by ``docs/sync_facade.py``."""
