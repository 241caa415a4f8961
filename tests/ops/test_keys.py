"""`instanter keys`: the first key of a directory, and the same on a running server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from instanter.foundation.disk import RealDisk
from instanter.ops.cli.main import FAILED, WRONG, main
from instanter.ops.datadir import DataDirectory
from instanter.privacy.audit import handed_in
from instanter.privacy.roles import ROLES


@pytest.fixture
def keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs `instanter keys` on a directory; the exit code and the JSON of its last line."""

    def run(*words: str) -> tuple[int, Any]:
        code = main(["keys", *words, "--data", str(tmp_path / "data"), "--json"])
        return code, json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


def test_a_key_is_made_listed_and_revoked_in_a_directory_that_was_not_there(keys: Any, tmp_path: Path) -> None:
    code, made = keys("create", "--name", "operator", "--scope", "admin", "--scope", "write")
    assert (code, made["tenant"], made["scopes"]) == (0, "default", ["admin", "write"])
    assert made["key"].startswith(f"ik_{made['id']}_")
    _, other = keys("create", "--name", "owner", "--scope", "admin", "--tenant", "two")
    _, listed = keys("list")
    assert [one["id"] for one in listed["keys"]] == [made["id"]]
    assert "key" not in listed["keys"][0]
    code, refused = keys("revoke", other["id"])
    assert (code, refused["error"]["code"]) == (WRONG, "unknown_key")
    code, revoked = keys("revoke", made["id"])
    assert (code, revoked["revokedAt"] is not None) == (0, True)
    assert keys("revoke", made["id"]) == (0, revoked)
    assert keys("list")[1]["keys"] == [revoked]
    acts = [act for _, act in handed_in(RealDisk(), DataDirectory(RealDisk(), tmp_path / "data").acts)]
    assert sorted((act.act, act.subject) for act in acts) == sorted([
        ("key.issued", made["id"]), ("key.issued", other["id"]), ("key.revoked", made["id"]),
    ])


@pytest.mark.parametrize("words", [
    ["create"], ["create", "--name", "x"], ["create", "--scope", "write"], ["list", "0123"], ["revoke"],
    ["create", "--role", "viewer"], ["create", "--name", "x", "--role", ""],
    ["create", "--name", "x", "--role", "viewer", "--public"],
    ["create", "--name", "x", "--role", "viewer", "--scope", "write"],
    ["create", "--name", "x", "--scope", "admin", "--public"],
    ["create", "--name", "x", "--scope", "write", "--scope", "write"],
    ["create", "--name", "x", "--scope", "write", "--tenant", "No Name"],
    ["create", "--name", "x", "--scope", "write", "--requests-per-s", "-1"],
    ["create", "--name", "x" * 300, "--scope", "write"],
    ["list", "--url", "http://127.0.0.1:1", "--key", "k", "--tenant", "t"],
])  # fmt: skip
def test_what_cannot_be_asked_is_refused_in_one_sentence(words: list[str], keys: Any, tmp_path: Path) -> None:
    code, told = keys(*words)
    assert code == WRONG
    assert told["error"]["message"]
    assert not (tmp_path / "data" / "log").exists() or not keys("list")[1]["keys"]


def test_a_server_is_asked_also_without_a_key_since_one_under_dev_wants_none(keys: Any) -> None:
    code, told = keys("list", "--url", "http://127.0.0.1:1", "--key", "")
    assert code == FAILED
    assert "no answer from http://127.0.0.1:1" in told["error"]["message"]


@pytest.mark.parametrize(("words", "meant"), [
    (["--role", "viewr"], "viewer"), (["--role", "Admin"], "admin"), (["--scope", "wirte"], "write"),
    (["--scope", "write", "--scope", "profile:read"], "profiles:read"),
])  # fmt: skip
def test_a_role_or_scope_that_is_misspelt_is_told_the_nearest(words: list[str], meant: str, keys: Any) -> None:
    code, told = keys("create", "--name", "x", *words)
    assert (code, told["error"]["code"]) == (WRONG, "schema")
    assert f"did you mean {meant}?" in told["error"]["message"]


def test_a_key_with_a_role_is_listed_with_it_and_its_scopes(
    keys: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, made = keys("create", "--name", "shop floor", "--role", "merchandiser")
    assert (code, made["role"], made["scopes"]) == (0, "merchandiser", list(ROLES["merchandiser"]))
    _, listed = keys("list")
    assert [(one["role"], one["scopes"]) for one in listed["keys"]] == [(made["role"], made["scopes"])]
    assert main(["keys", "list", "--data", str(tmp_path / "data")]) == 0
    assert f"  merchandiser ({' '.join(made['scopes'])})  issued" in capsys.readouterr().out
    [act] = [act for _, act in handed_in(RealDisk(), DataDirectory(RealDisk(), tmp_path / "data").acts)]
    assert act.details == {"name": "shop floor", "scopes": "", "public": False, "role": "merchandiser"}


def test_a_directory_that_is_not_there_has_no_keys_to_list(keys: Any) -> None:
    code, told = keys("list")
    assert (code, told["error"]["code"]) == (FAILED, "broken")


def test_a_server_that_is_not_there_is_said_to_be_so(keys: Any) -> None:
    code, told = keys("list", "--url", "http://127.0.0.1:1", "--key", "ik_x")
    assert (code, told["error"]["code"]) == (FAILED, "unavailable")
