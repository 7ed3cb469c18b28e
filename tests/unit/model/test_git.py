"""Where work comes from: what is an address, a ref, a commit, and which options there are."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from cicd_core.errors import InvalidInput, TooLarge
from cicd_core.model.git import GitContext, ObjectFilter, Submodules, check_git, git_texts

SHA = "0123456789abcdef0123456789abcdef01234567"
SHA256 = SHA + "0123456789abcdef01234567"
PLAIN = GitContext(repo="https://example.org/shop.git")


def test_a_git_context_may_be_left_out_or_say_the_repository_alone() -> None:
    assert check_git(None) is None
    assert check_git(PLAIN) == PLAIN
    assert (git_texts(None), git_texts(PLAIN)) == ({}, {"repo": PLAIN.repo})


@pytest.mark.parametrize(
    "repo",
    [
        "https://example.org/team/shop.git",
        "HTTPS://example.org/shop",
        "http://127.0.0.1:8080/shop",
        "ssh://git@example.org:22/shop.git",
        "ssh://example.org/~ada/shop.git",
        "git://example.org/shop.git",
        "file:///srv/git/shop.git",
        "file://localhost/srv/a@b/shop.git",
        "git@example.org:team/shop.git",
        "example.org:shop.git",
        "/srv/git/shop.git",
        "/srv/a folder: with @ and ::",
    ],
)
def test_an_address_of_a_repository_is_kept(repo: str) -> None:
    checked = check_git(evolve(PLAIN, repo=repo))
    assert checked is not None
    assert checked.repo == repo


@pytest.mark.parametrize(
    "repo",
    [
        "",
        "--upload-pack=touch pwned",
        "-u",
        "ext::sh -c 'touch pwned'",
        "fd::17",
        "EXT::sh",
        "::x",
        "a+b::https://example.org/x",
        "shop.git",
        "../shop.git",
        "git+ssh://example.org/x",
        "ftp://example.org/x",
        "javascript://example.org/x",
        "file://example.org/srv/shop.git",
        "file://srv/shop.git",
        "file://",
        "https://example.org",
        "https:///shop.git",
        "ssh://-oProxyCommand=touch/x",
        "ssh://git@-oProxyCommand=touch/x",
        "-oProxyCommand=touch:x",
        "git@-oProxyCommand=touch:x",
        "/srv/shop.git\nhttps://example.org",
        "https://example.org/x\r",
        "nul\0",
    ],
)
def test_an_address_that_is_none_or_runs_a_command_is_refused(repo: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_git(evolve(PLAIN, repo=repo))
    assert refused.value.field == "git.repo"


@pytest.mark.parametrize(
    "repo",
    [
        "https://ada:s3cret@example.org/x",
        "https://s3cret@example.org/x",
        "https://@example.org/x",
        "http://a:b/s3cret@example.org/x#@",
        "ssh://git:s3cret@example.org/x",
        "git://s3cret@example.org/x",
        "https://example.org/x?private_token=s3cret",
        "https://example.org/s3cret@x",
    ],
)
def test_credentials_in_an_address_are_refused_and_not_shown(repo: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_git(evolve(PLAIN, repo=repo))
    assert refused.value.field == "git.repo"
    assert "s3cret" not in f"{refused.value} {refused.value.value}"


@pytest.mark.parametrize(
    "ref",
    [
        "HEAD",
        "main",
        "feature/#123",
        "ünï/côde",
        "a@b",
        "x$(id)",
        "q'uote",
        "back`tick",
        "perc%20ent",
        "dots.and.lock1",
        "refs/pull/7/head",
        "refs/merge-requests/7/head",
        "refs/heads/" + SHA,
        "very/deep/branch/name/with/many/parts",
        SHA,
    ],
)
def test_a_ref_that_git_allows_is_kept(ref: str) -> None:
    checked = check_git(evolve(PLAIN, ref=ref))
    assert checked is not None
    assert checked.ref == ref


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "@",
        "--upload-pack=x",
        "-b",
        "main~1",
        "main^",
        "HEAD^{/",
        "main@{yesterday}",
        "a:b",
        "refs/heads/*",
        "a?",
        "a[b",
        "two words",
        "back\\slash",
        "a..b",
        "a//b",
        "/a",
        "a/",
        "a.",
        ".a",
        "a/.b",
        "a.lock",
        "a.lock/b",
        "line\nbreak",
        "del\x7f",
        "nul\0",
        7,
    ],
)
def test_a_ref_that_git_does_not_allow_is_refused(ref: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_git(evolve(PLAIN, ref=ref))
    assert refused.value.field == "git.ref"


@pytest.mark.parametrize("commit", [SHA, SHA256, SHA.upper()])
def test_a_whole_commit_is_kept_in_lower_case(commit: str) -> None:
    checked = check_git(evolve(PLAIN, commit_sha=commit))
    assert checked is not None
    assert checked.commit_sha == checked.pinned == commit.lower()


@pytest.mark.parametrize("commit", ["", "3fa9c1", SHA[:39], SHA + "0", "g" * 40, "nul\0", 1])
def test_a_part_of_a_commit_is_refused(commit: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_git(evolve(PLAIN, commit_sha=commit))
    assert refused.value.field == "git.commit_sha"


def test_a_ref_with_the_form_of_a_commit_is_that_commit() -> None:
    assert evolve(PLAIN, ref=SHA).pinned == SHA
    assert evolve(PLAIN, ref="main").pinned is None
    assert PLAIN.pinned is None
    assert check_git(evolve(PLAIN, ref=SHA.upper(), commit_sha=SHA)) is not None
    with pytest.raises(InvalidInput, match=SHA) as refused:
        check_git(evolve(PLAIN, ref="f" * 40, commit_sha=SHA))
    assert refused.value.field == "git.ref"


def test_the_options_are_kept() -> None:
    git = evolve(
        PLAIN,
        depth=1,
        filter=ObjectFilter.BLOBS,
        sparse_paths=("docs", "web/app"),
        submodules=Submodules.RECURSIVE,
        lfs=False,
    )
    assert check_git(git) == git


def test_options_may_be_given_as_texts_and_lists() -> None:
    given: Any = {"filter": "blob:none", "submodules": "shallow", "sparse_paths": ["b/", "a", "b"]}
    checked = check_git(GitContext(repo=PLAIN.repo, **given))
    assert checked == evolve(
        PLAIN,
        filter=ObjectFilter.BLOBS,
        submodules=Submodules.SHALLOW,
        sparse_paths=("a", "b"),
    )


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("depth", -1, "git.depth"),
        ("depth", True, "git.depth"),
        ("filter", "tree:0", "git.filter"),
        ("filter", [], "git.filter"),
        ("submodules", "some", "git.submodules"),
        ("lfs", "yes", "git.lfs"),
        ("lfs", 1, "git.lfs"),
        ("sparse_paths", "docs", "git.sparse_paths"),
        ("sparse_paths", 3, "git.sparse_paths"),
        ("sparse_paths", ["a", ""], "git.sparse_paths[1]"),
        ("sparse_paths", ["/etc"], "git.sparse_paths[0]"),
        ("sparse_paths", ["a/../.."], "git.sparse_paths[0]"),
        ("sparse_paths", ["a//b"], "git.sparse_paths[0]"),
        ("sparse_paths", ["--stdin"], "git.sparse_paths[0]"),
        ("sparse_paths", ["#a"], "git.sparse_paths[0]"),
        ("sparse_paths", [".GIT/hooks"], "git.sparse_paths[0]"),
        ("sparse_paths", ["a*"], "git.sparse_paths[0]"),
        ("sparse_paths", ["!a"], "git.sparse_paths[0]"),
        ("sparse_paths", ["a\nb"], "git.sparse_paths[0]"),
        ("sparse_paths", [" a"], "git.sparse_paths[0]"),
        ("sparse_paths", [1], "git.sparse_paths[0]"),
        ("commit_message", "nul\0", "git.commit_message"),
        ("author", 3, "git.author"),
    ],
)
def test_an_option_that_is_wrong_is_refused_by_its_name(name: str, value: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_git(evolve(PLAIN, **{name: value}))
    assert refused.value.field == field


def test_too_many_sparse_paths_are_refused() -> None:
    with pytest.raises(TooLarge):
        check_git(evolve(PLAIN, sparse_paths=tuple(f"d{number}" for number in range(257))))


def test_the_field_of_an_error_begins_as_the_caller_says() -> None:
    with pytest.raises(InvalidInput) as refused:
        check_git(evolve(PLAIN, ref="-x"), "payload.checkout")
    assert refused.value.field == "payload.checkout.ref"
