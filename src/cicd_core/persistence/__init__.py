"""How entities are kept in a store: codec, collections, mappings, repository.

The store itself knows keys, attributes and bytes; the services know entities.
"""
