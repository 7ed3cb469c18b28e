"""The Terraform module, where Terraform is: valid, applied to an engine, and then no drift.

The provider comes from a mirror on this machine; nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from cicd_core_dynamodb.infrastructure.rights import ROLES
from tests.cli.person import Person
from tests.dynamodb.engines import engines, started

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.dynamodb.engines import Server

MODULE: Final = Path(__file__).parents[2] / "infra" / "terraform"
PROVIDER: Final = "registry.terraform.io/hashicorp/aws"
#: Where people keep copies of providers; the variable names another place.
MIRRORS: Final = (
    Path.home() / ".terraform.d" / "plugins",
    Path("/usr/local/share/terraform/plugins"),
    Path("/usr/share/terraform/plugins"),
    *Path("/opt").glob("*"),
)
#: What Terraform needs to be told of an engine, which has neither accounts nor names for buckets.
ROOT: Final = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "endpoint" { type = string }
variable "recovery" { type = bool }
variable "policies" {
  type    = bool
  default = false
}
variable "package" {
  type    = string
  default = null
}

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
  endpoints {
    dynamodb = var.endpoint
  }
}

module "ci" {
  source                 = "./module"
  prefix                 = "made-"
  tags                   = { service = "ci" }
  point_in_time_recovery = var.recovery
  create_policies        = var.policies
  maintenance_package    = var.package
  http_package           = var.package
}

output "store_url" { value = module.ci.store_url }
output "table_names" { value = module.ci.table_names }
output "policy_documents" { value = module.ci.policy_documents }
"""


def mirror() -> Path | None:
    """Return a folder with a copy of the provider; None: there is none."""
    told = os.environ.get("CICD_CORE_TERRAFORM_MIRROR")
    places = [Path(told)] if told else MIRRORS
    return next((place for place in places if (place / PROVIDER).is_dir()), None)


pytestmark = [
    pytest.mark.skipif(shutil.which("terraform") is None, reason="there is no terraform"),
    pytest.mark.skipif(mirror() is None, reason="there is no mirror with the AWS provider"),
    pytest.mark.thorough,  # the provider is a large program, which starts anew each time
]


class Terraform:
    """Terraform in a folder of its own, against one engine."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder = folder
        self.server = server
        shutil.copytree(
            MODULE, folder / "module", ignore=shutil.ignore_patterns(".*", "*.tfstate*")
        )
        (folder / "main.tf").write_text(ROOT, encoding="utf-8")
        config = folder / "terraform.rc"
        config.write_text(
            f'provider_installation {{\n  filesystem_mirror {{ path = "{mirror()}" }}\n}}\n',
            encoding="utf-8",
        )
        self._environment = {
            **os.environ,
            "TF_CLI_CONFIG_FILE": str(config),
            "TF_IN_AUTOMATION": "1",
            "TF_VAR_endpoint": server.endpoint,
            # dynoxide knows no continuous backups.
            "TF_VAR_recovery": json.dumps(server.engine.name != "dynoxide"),
            "CHECKPOINT_DISABLE": "1",
        }

    def run(self, *words: str, expected: int = 0) -> str:
        """Run a command, and return what it said."""
        done = subprocess.run(
            ["terraform", *words],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == expected, done.stdout + done.stderr
        return done.stdout

    def outputs(self) -> dict[str, Any]:
        """Return the outputs of what was applied."""
        found: dict[str, Any] = json.loads(self.run("output", "-json"))
        return {name: each["value"] for name, each in found.items()}


@pytest.fixture
def terraform(tmp_path: Path) -> Iterator[Terraform]:
    """Terraform for an engine that has nothing else: the last one, which knows backups too."""
    with started(engines()[-1]) as server:
        yield Terraform(tmp_path, server)


def test_the_module_is_laid_out_as_terraform_does(tmp_path: Path) -> None:
    shutil.copytree(MODULE, tmp_path / "module", ignore=shutil.ignore_patterns(".*", "*.tfstate*"))
    done = subprocess.run(
        ["terraform", "fmt", "-check", "-diff", tmp_path / "module"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


# One test: each command starts the provider anew, which takes seconds.
def test_the_module_is_valid_and_applied_and_leaves_nothing_to_change(
    terraform: Terraform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terraform.run("init", "-no-color", "-input=false")
    terraform.run("apply", "-no-color", "-input=false", "-auto-approve")
    told = terraform.run("plan", "-json", "-input=false", "-detailed-exitcode", expected=0)
    assert [
        line for line in map(json.loads, told.splitlines()) if line["type"] == "diagnostic"
    ] == []
    outputs = terraform.outputs()
    assert outputs["store_url"] == "dynamodb://?prefix=made-&region=us-east-1"
    assert outputs["table_names"]["jobs"] == "made-jobs"
    url = f"{outputs['store_url']}&endpoint={terraform.server.endpoint}"
    answer = Person(capsys, monkeypatch).types(
        "dynamodb", "check", "--store", url, "--strict", "--json"
    )
    assert (answer.code, answer.json["findings"]) == (0, [])
    policies_hold_the_rights_of_each_role(outputs["policy_documents"])
    policies_and_the_functions_can_be_planned(terraform)


def policies_hold_the_rights_of_each_role(documents: Mapping[str, str]) -> None:
    assert set(documents) == {role.name for role in ROLES}
    for role in ROLES:
        statements = {each["Sid"]: each for each in json.loads(documents[role.name])["Statement"]}
        assert set(statements) == {right.name for right in role.rights}
        for right in role.rights:
            actions = statements[right.name]["Action"]
            assert sorted([actions] if isinstance(actions, str) else actions) == sorted(
                right.actions
            )


def policies_and_the_functions_can_be_planned(applied: Terraform) -> None:
    package = applied.folder / "package.zip"
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("nothing.py", "")
    more = ("-var=policies=true", f"-var=package={package}")
    told = applied.run("plan", "-no-color", "-input=false", "-detailed-exitcode", *more, expected=2)
    assert "module.ci.aws_iam_policy.agent[0] will be created" in told
    for made in ("maintenance", "http"):
        assert f"module.ci.aws_lambda_function.{made}[0] will be created" in told
    assert "module.ci.aws_apigatewayv2_api.http[0] will be created" in told
    assert "module.ci.aws_apigatewayv2_route.http[0] will be created" in told
    assert "0 to change, 0 to destroy" in told
