"""Entities as records of a store: codec, collections, mappings, repository.

The store itself knows only keys, attributes and bytes; the services know only entities.
"""
