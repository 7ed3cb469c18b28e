"""API keys on the command line: the token is shown once, and nothing else shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.person import Person


def test_the_token_of_a_key_is_shown_once(person: Person) -> None:
    made = person.asks("keys", "create", "ci", "--scope", "jobs:read", "--lasts", "90d")
    key, token = made["key"], made["token"]
    assert token.startswith(f"cicd_{key['key_id']}_")
    assert (key["name"], key["scopes"]) == ("ci", ["jobs:read"])
    assert "digest" not in key
    for words in (["keys"], ["keys", "show", key["key_id"]], ["events"]):
        for shown in (person.types(*words).out, person.types(*words, "--json").out):
            assert token.rsplit("_", 1)[1] not in shown
            assert key["key_id"] in shown


def test_a_key_is_replaced_and_revoked(person: Person) -> None:
    told = person.types("keys", "create", "a1", "--agent", "a1", "--pool", "linux").out
    assert "cicd_" in told.splitlines()[-1]
    (key,) = person.asks("keys", "list")["items"]
    assert (key["agent_id"], key["pools"], key["scopes"]) == ("a1", ["linux"], ["queue:claim"])
    new = person.asks("keys", "replace", key["key_id"], "--overlap", "5m")["key"]
    assert new["scopes"] == key["scopes"]
    told = person.types("keys", "revoke", new["key_id"], "--reason", "leaked").out
    assert told == f"{new['key_id']} (a1): revoked\n"
    assert "revoked" in person.types("keys").out


def test_a_scope_that_is_none_is_refused_with_the_legal_ones(person: Person) -> None:
    refused = person.types("keys", "create", "ci", "--scope", "jobs:delete")
    assert refused.code == 2
    assert "jobs:delete" in refused.err
    assert "jobs:read" in refused.err
