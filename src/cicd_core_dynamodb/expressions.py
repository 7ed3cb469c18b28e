"""An update of one item and its condition, as DynamoDB's expressions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cicd_core_dynamodb.calls import Item, Value


class Expression:
    """A condition, and the attributes to set, remove and add; with placeholders for values."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._values: dict[str, Value] = {}
        self._sets: list[str] = []
        self._removes: list[str] = []
        self._adds: list[str] = []
        self._deletes: list[str] = []
        self._conditions: list[str] = []
        self._filters: list[str] = []

    def name(self, attribute: str) -> str:
        """Return the placeholder of a name."""
        return self._names.setdefault(attribute, f"#{len(self._names)}")

    def value(self, value: Value) -> str:
        """Return a placeholder for a value."""
        placeholder = f":{len(self._values)}"
        self._values[placeholder] = value
        return placeholder

    def set(self, values: Mapping[str, Value]) -> None:
        """Set attributes."""
        for name, value in values.items():
            self._sets.append(f"{self.name(name)} = {self.value(value)}")

    def set_if_missing(self, name: str, value: Value) -> None:
        """Set an attribute that the item does not have yet."""
        word = self.name(name)
        self._sets.append(f"{word} = if_not_exists({word}, {self.value(value)})")

    def increment(self, name: str) -> None:
        """Add one to an existing number."""
        word = self.name(name)
        self._sets.append(f"{word} = {word} + {self.value({'N': '1'})}")

    def remove(self, names: Iterable[str]) -> None:
        """Remove attributes."""
        self._removes += [self.name(name) for name in names]

    def add(self, name: str, value: Value) -> None:
        """Add to a set."""
        self._adds.append(f"{self.name(name)} {self.value(value)}")

    def delete(self, name: str, value: Value) -> None:
        """Remove from a set."""
        self._deletes.append(f"{self.name(name)} {self.value(value)}")

    def require(self, template: str, **operands: str | Value) -> None:
        """Add a condition: ``{name}`` stands for an attribute (a str) or a value."""
        self._conditions.append(f"({self._filled(template, operands)})")

    def require_prefix(self, attribute: str, prefix: str) -> None:
        """Require that a text begins with another one."""
        word = self.value({"S": prefix})
        self._conditions.append(f"begins_with({self.name(attribute)}, {word})")

    def condition_parameters(self) -> dict[str, Any]:
        """Return the parameters of the condition only, for ``PutItem``."""
        return {
            "ConditionExpression": " AND ".join(self._conditions),
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            **self._placeholders(),
        }

    def filter(self, template: str, **operands: str | Value) -> None:
        """Leave out the items of a query for which this is false; written like a condition."""
        self._filters.append(f"({self._filled(template, operands)})")

    def query_parameters(self) -> dict[str, Any]:
        """Return the parameters of ``Query``; the conditions are those on the keys."""
        parameters: dict[str, Any] = {
            "KeyConditionExpression": " AND ".join(self._conditions),
            **self._placeholders(),
        }
        if self._filters:
            parameters["FilterExpression"] = " AND ".join(self._filters)
        return parameters

    def parameters(self, table: str, key: Item) -> dict[str, Any]:
        """Return the parameters of ``UpdateItem``, or of an update in a transaction."""
        parts = [
            ("SET", self._sets),
            ("REMOVE", self._removes),
            ("ADD", self._adds),
            ("DELETE", self._deletes),
        ]
        parameters: dict[str, Any] = {
            "TableName": table,
            "Key": key,
            "UpdateExpression": " ".join(
                f"{clause} {', '.join(items)}" for clause, items in parts if items
            ),
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            **self._placeholders(),
        }
        if self._conditions:
            parameters["ConditionExpression"] = " AND ".join(self._conditions)
        return parameters

    def _filled(self, template: str, operands: Mapping[str, str | Value]) -> str:
        parameters = {
            word: self.name(operand) if isinstance(operand, str) else self.value(operand)
            for word, operand in operands.items()
        }
        return template.format(**parameters)

    def _placeholders(self) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "ExpressionAttributeNames": {word: name for name, word in self._names.items()}
        }
        if self._values:
            parameters["ExpressionAttributeValues"] = self._values
        return parameters
