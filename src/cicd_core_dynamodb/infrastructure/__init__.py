"""The tables and the rights on them as infrastructure code, generated from the collections."""

from __future__ import annotations

from cicd_core_dynamodb.infrastructure.cloudformation import template
from cicd_core_dynamodb.infrastructure.terraform import module_files

__all__ = ["module_files", "template"]
