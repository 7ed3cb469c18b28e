"""The CloudFormation template: the same tables and rights as the Terraform module's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cicd_core_dynamodb.infrastructure.rights import ROLES
from cicd_core_dynamodb.tables import TTL_ATTRIBUTE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cicd_core_dynamodb.infrastructure.rights import Right, Role
    from cicd_core_dynamodb.tables import Table


def template(tables: Iterable[Table]) -> dict[str, Any]:
    """Return the template, as values for JSON."""
    needed = tuple(tables)
    known = {table.name for table in needed}
    resources = {_logical(table.name): _table(table) for table in needed}
    resources |= {f"{_logical(role.name)}Policy": _policy(role, known) for role in ROLES}
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Tables of cicd-core, and policies with the fewest rights on them.",
        "Parameters": _parameters(),
        "Conditions": {
            "HasKey": {"Fn::Not": [{"Fn::Equals": [{"Ref": "KmsKeyArn"}, ""]}]},
        },
        "Resources": resources,
        "Outputs": _outputs(),
    }


def _parameters() -> dict[str, Any]:
    switch = {"Type": "String", "AllowedValues": ["true", "false"], "Default": "true"}
    return {
        "Prefix": {
            "Type": "String",
            "Default": "ci-",
            "AllowedPattern": "[A-Za-z0-9_.-]{0,100}",
            "Description": "Prefix of the names of tables and policies.",
        },
        "DeletionProtection": {
            **switch,
            "Description": "Refuse to delete a table until this is turned off.",
        },
        "PointInTimeRecovery": {
            **switch,
            "Description": "Back up all tables continuously, except the sessions.",
        },
        "KmsKeyArn": {
            "Type": "String",
            "Default": "",
            "Description": "The key that encrypts the tables; empty: DynamoDB's own.",
        },
    }


def _outputs() -> dict[str, Any]:
    url = "dynamodb://?prefix=${Prefix}&region=${AWS::Region}"
    policies = {
        f"{_logical(role.name)}PolicyArn": {"Value": {"Ref": f"{_logical(role.name)}Policy"}}
        for role in ROLES
    }
    return {"StoreUrl": {"Value": {"Fn::Sub": url}}, **policies}


def _table(table: Table) -> dict[str, Any]:
    parameters = table.definition("")
    parameters["TableName"] = {"Fn::Sub": f"${{Prefix}}{table.name}"}
    recovery = {"Ref": "PointInTimeRecovery"} if table.recoverable else "false"
    key = {"SSEEnabled": "true", "SSEType": "KMS", "KMSMasterKeyId": {"Ref": "KmsKeyArn"}}
    return {
        "Type": "AWS::DynamoDB::Table",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": {
            **parameters,
            "TimeToLiveSpecification": {"AttributeName": TTL_ATTRIBUTE, "Enabled": "true"},
            "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": recovery},
            "SSESpecification": {"Fn::If": ["HasKey", key, {"Ref": "AWS::NoValue"}]},
            "DeletionProtectionEnabled": {"Ref": "DeletionProtection"},
        },
    }


def _policy(role: Role, known: set[str]) -> dict[str, Any]:
    statements = [_statement(right, known) for right in role.rights]
    key = {
        "Sid": "Key",
        "Effect": "Allow",
        "Action": ["kms:Decrypt", "kms:DescribeKey"],
        "Resource": {"Ref": "KmsKeyArn"},
        "Condition": {"StringLike": {"kms:ViaService": "dynamodb.*"}},
    }
    return {
        "Type": "AWS::IAM::ManagedPolicy",
        "Properties": {
            "ManagedPolicyName": {"Fn::Sub": f"${{Prefix}}{role.name}"},
            "Description": f"Rights that cicd-core needs for {role.description}.",
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [*statements, {"Fn::If": ["HasKey", key, {"Ref": "AWS::NoValue"}]}],
            },
        },
    }


def _statement(right: Right, known: set[str]) -> dict[str, Any]:
    tables = [{"Fn::GetAtt": [_logical(name), "Arn"]} for name in right.tables if name in known]
    indexes = [
        {"Fn::Sub": f"${{{_logical(name)}.Arn}}/index/{index}"}
        for name, index in right.indexes
        if name in known
    ]
    statement: dict[str, Any] = {
        "Sid": right.name,
        "Effect": "Allow",
        "Action": list(right.actions),
        "Resource": [*tables, *indexes],
    }
    for test, variable, values in right.conditions:
        statement.setdefault("Condition", {}).setdefault(test, {})[variable] = list(values)
    return statement


def _logical(name: str) -> str:
    """Return a name in CloudFormation's form: only letters and digits."""
    return "".join(part.capitalize() for part in name.split("-"))
