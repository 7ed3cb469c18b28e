"""The infrastructure code: what stands in the repository is what the code makes, and it works."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cicd_core.entities import COLLECTIONS
from cicd_core_dynamodb.infrastructure import module_files, template
from cicd_core_dynamodb.infrastructure.hcl import Attribute, Block, Expression, rendered
from cicd_core_dynamodb.infrastructure.rights import AGENT, CONTROL_PLANE, READER, ROLES, Role
from cicd_core_dynamodb.tables import JOURNAL, tables_of
from tests.cli.person import Person

MODULE = Path(__file__).parents[2] / "infra" / "terraform"
FILES = sorted(path for path in MODULE.iterdir() if path.suffix in {".md", ".tf"})
TABLES = {table.name: table for table in tables_of(COLLECTIONS)}
TEMPLATE = template(tables_of(COLLECTIONS))
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]
LIVE_TABLES = {
    each["Properties"]["TableName"]["Fn::Sub"].removeprefix("${Prefix}"): each["Properties"]
    for each in RESOURCES.values()
    if each["Type"] == "AWS::DynamoDB::Table"
}


@pytest.fixture
def person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Person:
    monkeypatch.chdir(tmp_path)
    return Person(capsys, monkeypatch)


SECRET = {"sessions", "api-keys"}


def actions_of(role: Role) -> set[str]:
    return {action for right in role.rights for action in right.actions}


# ------------------------------------------------------------------------------------ terraform


def test_the_module_in_the_repository_is_the_one_that_the_code_makes() -> None:
    there = {path.name: path.read_text(encoding="utf-8") for path in FILES}
    made = module_files(tables_of(COLLECTIONS))
    assert there == made, "run `cicd-core dynamodb terraform --force infra/terraform`"


def test_the_module_is_written_into_a_folder(person: Person) -> None:
    written = person.types("dynamodb", "terraform", "made", "--json").json["files"]
    assert sorted(written) == sorted(str(Path("made") / path.name) for path in FILES)
    assert Path("made/tables.tf").read_text(encoding="utf-8") == (MODULE / "tables.tf").read_text(
        encoding="utf-8"
    )


def test_a_file_that_was_changed_by_hand_is_not_written_over(person: Person) -> None:
    person.types("dynamodb", "terraform", ".")
    Path("tables.tf").write_text("# mine\n", encoding="utf-8")
    answer = person.types("dynamodb", "terraform", ".")
    assert answer.code == 4
    assert "--force" in answer.err
    assert Path("tables.tf").read_text(encoding="utf-8") == "# mine\n"
    assert person.types("dynamodb", "terraform", ".", "--force").code == 0
    assert person.types("dynamodb", "terraform", ".").code == 0


def test_the_module_can_be_read_without_a_folder(person: Person) -> None:
    out = person.types("dynamodb", "terraform").out
    assert 'resource "aws_dynamodb_table" "jobs"' in out
    files = person.types("dynamodb", "terraform", "--json").json["files"]
    assert set(files) == {path.name for path in FILES}


def test_a_folder_that_cannot_be_made_is_refused(person: Person) -> None:
    Path("file").write_text("", encoding="utf-8")
    assert person.types("dynamodb", "terraform", "file/below").code == 2


def test_blocks_are_laid_out_as_terraform_does() -> None:
    long = ["a" * 30, "b" * 30, "c" * 30]
    block = Block(
        "resource",
        ("kind", "name"),
        [
            Attribute("a", "text"),
            Attribute("longer", Expression("var.x")),
            None,
            Attribute("list", long),
            Attribute("b", value=True),
            Block("empty", (), []),
        ],
    )
    assert rendered([block]).splitlines() == [
        'resource "kind" "name" {',
        '  a      = "text"',
        "  longer = var.x",
        "",
        "  list = [",
        *(f'    "{each}",' for each in long),
        "  ]",
        "  b = true",
        "  empty {",
        "  }",
        "}",
    ]


# ------------------------------------------------------------------------------- cloudformation


def test_the_template_has_every_table_with_its_keys_and_indexes() -> None:
    assert set(LIVE_TABLES) == set(TABLES)
    for name, properties in LIVE_TABLES.items():
        words = TABLES[name].definition("")
        for word in ("KeySchema", "AttributeDefinitions", "BillingMode"):
            assert properties[word] == words[word]
        assert properties.get("GlobalSecondaryIndexes") == words.get("GlobalSecondaryIndexes")


def test_the_templates_tables_are_looked_after() -> None:
    for name, properties in LIVE_TABLES.items():
        assert properties["TimeToLiveSpecification"] == {"AttributeName": "T", "Enabled": "true"}
        recovery = properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
        assert recovery == ("false" if name in SECRET else {"Ref": "PointInTimeRecovery"})
        assert properties["DeletionProtectionEnabled"] == {"Ref": "DeletionProtection"}
    assert all(
        each["DeletionPolicy"] == "Retain"
        for each in RESOURCES.values()
        if each["Type"] == "AWS::DynamoDB::Table"
    )


def references(value: object) -> set[str]:
    """What a part of the template speaks of: parameters, resources, conditions."""
    if isinstance(value, list):
        return set().union(*map(references, value))
    if not isinstance(value, dict):
        return set()
    found: set[str] = set()
    for name, held in value.items():
        if name == "Ref":
            found.add(held)
        elif name == "Fn::GetAtt":
            found.add(held[0])
        elif name == "Fn::If":
            found |= {held[0]} | references(held[1:])
        elif name == "Fn::Sub":
            inner = [part.partition("}")[0] for part in held.split("${")[1:]]
            found |= {each.partition(".")[0] for each in inner}
        else:
            found |= references(held)
    return found


def test_the_template_speaks_of_nothing_that_it_does_not_have() -> None:
    known = {*TEMPLATE["Parameters"], *TEMPLATE["Conditions"], *RESOURCES}
    assert {each for each in references(TEMPLATE) if not each.startswith("AWS::")} <= known


def test_the_template_is_json_that_cloudformation_takes(person: Person) -> None:
    out = person.types("dynamodb", "cloudformation").out
    assert json.loads(out) == json.loads(json.dumps(TEMPLATE))
    assert len(out.encode()) < 51_200  # what fits into a request
    assert person.types("dynamodb", "cloudformation", "ci.json", "--json").json == {
        "files": ["ci.json"]
    }
    assert Path("ci.json").read_text(encoding="utf-8") == out


# --------------------------------------------------------------------------------------- rights


@pytest.mark.parametrize("role", ROLES, ids=lambda each: each.name)
def test_nobody_may_delete_scan_or_administer(role: Role) -> None:
    allowed = {"BatchGetItem", "GetItem", "PutItem", "Query", "UpdateItem"}
    assert actions_of(role) <= {f"dynamodb:{action}" for action in allowed}


def test_the_control_plane_may_use_every_table() -> None:
    tables = {name for right in CONTROL_PLANE.rights for name in right.tables}
    assert tables == set(TABLES)


@pytest.mark.parametrize("role", [AGENT, READER], ids=lambda each: each.name)
def test_only_the_control_plane_may_see_sessions_and_keys(role: Role) -> None:
    tables = {name for right in role.rights if not right.attributes for name in right.tables}
    indexes = {name for right in role.rights for name, _ in right.indexes}
    assert not SECRET & (tables | indexes)


def test_of_what_others_may_not_see_they_see_the_proofs_alone() -> None:
    for role in (AGENT, READER):
        (right,) = [each for each in role.rights if each.attributes]
        assert right.attributes == ("K", "V", "Z", "E", "X")
        assert {variable for _, variable, _ in right.conditions} == {
            "dynamodb:Attributes",
            "dynamodb:Select",
        }
    statements = RESOURCES["ReaderPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    (proofs,) = [each for each in statements if each.get("Sid") == "Proofs"]
    assert proofs["Condition"] == {
        "ForAllValues:StringEquals": {"dynamodb:Attributes": ["K", "V", "Z", "E", "X"]},
        "StringEqualsIfExists": {"dynamodb:Select": ["SPECIFIC_ATTRIBUTES"]},
    }


def test_a_reader_changes_no_record() -> None:
    assert "dynamodb:UpdateItem" not in actions_of(READER)
    for right in READER.rights:
        if "dynamodb:PutItem" in right.actions:
            assert right.tables == (JOURNAL.name,)
            assert right.leading_keys


def test_rights_name_tables_and_indexes_that_exist() -> None:
    for role in ROLES:
        for right in role.rights:
            assert set(right.tables) <= set(TABLES)
            for name, index in right.indexes:
                names = {each.name for each in TABLES[name].indexes}
                assert index == "*" or index in names
