"""The translation of errors from botocore and DynamoDB to those of this library."""

from __future__ import annotations

from typing import Any, Final

from cicd_core.errors import (
    CicdError,
    StoreError,
    StoreReadOnly,
    StoreUnavailable,
    TooLarge,
    UnsupportedCapability,
)
from cicd_core.travelling import reduced

#: The most bytes of an item, names and values together.
MAX_ITEM_BYTES: Final = 400 * 1024

#: Temporary errors.
_LATER: Final = frozenset(
    {
        "InternalServerError",
        "InternalFailure",
        "ItemCollectionSizeLimitExceededException",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "ReplicatedWriteConflictException",
        "ResourceInUseException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "SlowDown",
        "ThrottlingException",
        "ThrottlingError",
        "TransactionConflict",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
#: Errors of credentials that are missing, wrong, or expired.
_STRANGERS: Final = frozenset(
    {
        "ExpiredTokenException",
        "ExpiredToken",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "NotAuthorized",
        "UnrecognizedClientException",
    }
)
#: Texts of errors about a signature's time, such as after a suspend during a request.
_WRONG_TIME: Final = ("expired", "not yet current")
_WRITES: Final = frozenset(
    {"batch_write_item", "delete_item", "put_item", "transact_write_items", "update_item"}
)
#: Errors that botocore raises before it sends a request: no retry helps.
_MISCONFIGURED: Final = frozenset(
    {
        "ConfigNotFound",
        "CredentialRetrievalError",
        "InvalidRegionError",
        "NoCredentialsError",
        "NoRegionError",
        "PartialCredentialsError",
        "ProfileNotFound",
        "TokenRetrievalError",
        "UnknownServiceError",
    }
)


class ConditionFailed(Exception):
    """A conditional write found another item than expected; ``item`` has it."""

    def __reduce__(self) -> str | tuple[Any, ...]:
        return reduced(self)

    def __init__(self, item: dict[str, Any] | None) -> None:
        """Keep the found item; None: there is none."""
        super().__init__("the condition of a write was not met")
        self.item = item


class TableExists(Exception):
    """Another process has created the table, or is creating it."""


class TransactionRefused(Exception):
    """A condition of a transaction did not hold; the transaction wrote nothing."""


def translated(cause: Exception, operation: str, table: str) -> Exception:
    """Return the error to raise for an error of the driver.

    Args:
        cause: the error of the driver.
        operation: the method of the client, such as ``put_item``.
        table: the name of the table, or the prefix of several.
    """
    if isinstance(cause, CicdError):
        return cause
    answer: dict[str, Any] = getattr(cause, "response", None) or {}
    code = str(answer.get("Error", {}).get("Code", ""))
    if not code:
        return _without_answer(cause, operation, table)
    if code == "ConditionalCheckFailedException":
        return ConditionFailed(answer.get("Item"))
    if code == "ResourceInUseException" and operation == "create_table":
        return TableExists()
    if code == "TransactionCanceledException":
        return _cancelled(answer, operation, table)
    message = str(answer["Error"].get("Message", ""))
    return _answered(code, message, operation, table)


def _without_answer(cause: Exception, operation: str, table: str) -> Exception:
    kind = type(cause).__name__
    where = f"{operation} on {table!r}"
    if kind in _MISCONFIGURED:
        return UnsupportedCapability(
            f"{where}: {cause}; set the region, and the credentials in the usual places of AWS "
            f"(environment, profile, role)"
        )
    if kind in {"ParamValidationError", "TypeError", "AttributeError"}:
        return cause  # a bug of this library: it must not look like a network error
    return StoreUnavailable(
        f"{where}: DynamoDB did not answer ({kind}: {cause}); whether it took effect is unknown"
    )


def _answered(code: str, message: str, operation: str, table: str) -> Exception:
    where = f"{operation} on {table!r}"
    if code in _LATER:
        return StoreUnavailable(f"{where}: {code}: {message}")
    if code == "ResourceNotFoundException":
        return UnsupportedCapability(
            f"{where}: there is no such table or index; create it: `cicd-core dynamodb "
            f"create-tables`, the Terraform module, or ?create_tables=true on a local engine"
        )
    if code in _STRANGERS:
        return _unknown(where, code, message)
    if code == "AccessDeniedException":
        refused = StoreReadOnly if operation in _WRITES else UnsupportedCapability
        return refused(f"{where}: {message}; give the role the policy from the Terraform module")
    if code == "ValidationException":
        return _invalid(where, message)
    return StoreError(f"{where}: {code}: {message}")


def _unknown(where: str, code: str, message: str) -> Exception:
    if code.startswith("InvalidSignature") and any(word in message for word in _WRONG_TIME):
        return StoreUnavailable(f"{where}: {message}; check the clock of this machine")
    return UnsupportedCapability(f"{where}: {code}: {message}; check the credentials")


def _invalid(where: str, message: str) -> Exception:
    lowered = message.lower()
    if "item size" in lowered or "exceeded the maximum allowed size" in lowered:
        return TooLarge("record", MAX_ITEM_BYTES + 1, MAX_ITEM_BYTES)
    if "specified index" in lowered:
        return UnsupportedCapability(
            f"{where}: {message}; the table lacks an index: `cicd-core dynamodb check` shows which"
        )
    return StoreError(f"{where}: {message}")


def _cancelled(answer: dict[str, Any], operation: str, table: str) -> Exception:
    """Return the error of a cancelled transaction; permanent reasons take precedence."""
    reasons: list[dict[str, Any]] = answer.get("CancellationReasons") or []
    codes = {str(reason.get("Code", "None")): str(reason.get("Message", "")) for reason in reasons}
    for code in ("ValidationError", "AccessDenied"):
        if code in codes:
            return _answered(code.replace("Error", "Exception"), codes[code], operation, table)
    if "ConditionalCheckFailed" in codes:
        return TransactionRefused()
    reason = ", ".join(sorted(codes.keys() - {"None"}))
    return StoreUnavailable(f"{operation} on {table!r}: the transaction was cancelled: {reason}")
