"""Access keys: found by what is kept of them, never more than there is room for, the same after a checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.envelope import KeyIssued, KeyRevoked, read_record
from instanter.foundation.errors import RequestRejected
from instanter.foundation.ids import Ids
from instanter.foundation.limits import (
    ACCESS_KEY_CHARS_MAX,
    ACCESS_KEYS_MAX,
    ACCESS_KEYS_PER_TENANT_MAX,
    ACCESS_KEYS_REVOKED_MAX,
)
from instanter.privacy.access import (
    AccessKey,
    AccessKeys,
    Grant,
    check_grant,
    check_tenant,
    digest_of,
    issued,
    new_key,
)
from instanter.privacy.roles import ROLES, SCOPES, comes_with, held, roles_with

GRANT = Grant("for a test", ("write", "decide"))


def key_issued(number: int, *, tenant: str = "default") -> KeyIssued:
    return issued(GRANT, key_id=f"k{number}", text=f"text {number}", tenant=tenant, at_ms=1_000 + number)


def test_a_key_is_found_by_its_text_alone_until_it_is_revoked():
    keys = AccessKeys()
    keys.issue(key_issued(1))
    found = keys.find("text 1")
    assert found == AccessKey("k1", "default", digest_of("text 1"), ("write", "decide"), False, 0, "for a test", 1_001)
    assert keys.find("text 2") is keys.find("k1") is keys.find("") is None
    keys.revoke(KeyRevoked(2_000, "k1"))
    assert keys.find("text 1") is None
    assert len(keys) == keys.tenants == 0
    known = keys.get("k1")
    assert known is not None
    assert (known.counts, known.revoked_ms) == (False, 2_000)


def test_what_is_kept_is_the_sha_256_and_the_text_is_nowhere():
    key_id, text = new_key(Ids())
    event = issued(GRANT, key_id=key_id, text=text, tenant="default", at_ms=1)
    assert event.digest == hashlib.sha256(text.encode()).digest()
    secret = text.rpartition("_")[2]
    assert len(bytes.fromhex(secret)) * 8 >= 160
    assert secret.encode() not in msgspec.msgpack.encode(event)


def test_no_two_keys_are_alike():
    assert len({new_key(Ids()) for _ in range(1_000)}) == 1_000


@given(st.text(max_size=3 * ACCESS_KEY_CHARS_MAX))
@settings(max_examples=50)
def test_any_text_can_be_looked_for(text: str):
    assert AccessKeys().find(text) is None


OPERATIONS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 12), st.sampled_from(["default", "one", "two"])), max_size=60
)


@given(OPERATIONS, st.integers(0, 60))
@settings(max_examples=100)
def test_keys_behave_as_a_dictionary_also_after_a_checkpoint(steps: list[tuple[bool, int, str]], saved_at: int):
    keys, plain, revoked = AccessKeys(), dict[int, str](), set[int]()
    for at, (issue, number, tenant) in enumerate(steps):
        if at == saved_at:
            rows = msgspec.msgpack.decode(msgspec.msgpack.encode(keys.kept()))
            keys = AccessKeys(msgspec.convert(rows, list[AccessKey]))
        if issue:
            keys.issue(key_issued(number, tenant=tenant))
            plain.setdefault(number, tenant)
        else:
            keys.revoke(KeyRevoked(9_000 + at, f"k{number}"))
            revoked |= {number} & plain.keys()
    for number in range(13):
        found = keys.find(f"text {number}")
        assert (found.tenant if found else None) == (None if number in revoked else plain.get(number))
        assert (keys.get(f"k{number}") is not None) is (number in plain)
    counting = {number: tenant for number, tenant in plain.items() if number not in revoked}
    assert (len(keys), keys.tenants) == (len(counting), len(set(counting.values())))
    for tenant in ("default", "one", "two"):
        listed = {key.id for key in keys.of_tenant(tenant)}
        assert listed == {f"k{number}" for number, owner in plain.items() if owner == tenant}


def test_a_key_is_worth_what_its_role_is_also_after_a_checkpoint():
    keys = AccessKeys()
    keys.issue(issued(Grant("x", role="viewer"), key_id="k1", text="t", tenant="default", at_ms=1))
    keys = AccessKeys(msgspec.convert(msgspec.msgpack.decode(msgspec.msgpack.encode(keys.kept())), list[AccessKey]))
    found = keys.find("t")
    assert found is not None
    assert (found.role, found.scopes, found.granted) == ("viewer", (), ROLES["viewer"])
    assert found.held == {*ROLES["viewer"]}


def test_a_key_with_a_role_that_this_program_does_not_know_is_good_for_nothing():
    keys = AccessKeys()
    keys.issue(KeyIssued(1, "k1", "default", digest_of("t"), (), role="seer"))
    found = keys.find("t")
    assert found is not None
    assert (found.granted, found.held) == ((), frozenset())


def test_keys_that_were_kept_without_a_role_are_what_they_were():
    before = ["k1", "default", digest_of("t"), ["catalog"], False, 0, "shop", 1, 0, False]
    keys = AccessKeys([msgspec.convert(before, AccessKey)])
    written = [14, 1, "k2", "default", digest_of("u"), ["admin"], False, 0, "", False]
    record = read_record(msgspec.msgpack.encode(written))
    assert isinstance(record, KeyIssued)
    keys.issue(record)
    one, two = keys.find("t"), keys.find("u")
    assert one is not None
    assert two is not None
    assert one.held == {"catalog", "catalog:read"}
    assert (two.role, two.granted) == ("", ("admin",))
    assert not two.held & {"write", "decide", "catalog", "catalog:read", "receipts:read"}


def test_a_tenant_that_has_all_its_keys_keeps_nobody_else_from_theirs():
    keys = AccessKeys()
    for number in range(ACCESS_KEYS_PER_TENANT_MAX + 1):
        keys.issue(key_issued(number, tenant="one"))
    assert len(keys) == ACCESS_KEYS_PER_TENANT_MAX
    assert keys.find(f"text {ACCESS_KEYS_PER_TENANT_MAX}") is None
    assert (keys.has_room("one"), keys.has_room("two")) == (False, True)
    keys.revoke(KeyRevoked(5_000, "k0"))
    assert keys.has_room("one")


def test_there_are_never_more_keys_than_there_is_room_for():
    keys = AccessKeys()
    for number in range(ACCESS_KEYS_MAX + 1):
        keys.issue(key_issued(number, tenant=f"t{number % 20}"))
    assert len(keys) == ACCESS_KEYS_MAX
    assert keys.get(f"k{ACCESS_KEYS_MAX}") is None
    assert not keys.has_room("another")


def test_of_too_many_revoked_keys_the_one_revoked_first_is_forgotten():
    keys = AccessKeys()
    for number in range(ACCESS_KEYS_REVOKED_MAX + 2):
        keys.issue(key_issued(number))
        keys.revoke(KeyRevoked(9_000 + number, f"k{number}"))
    assert keys.get("k0") is keys.get("k1") is None
    assert keys.get("k2") is not None
    assert len(keys.kept()) == ACCESS_KEYS_REVOKED_MAX


def test_an_id_or_a_digest_that_is_taken_stays_with_whom_it_is():
    keys = AccessKeys()
    keys.issue(key_issued(1))
    keys.issue(issued(GRANT, key_id="k1", text="other", tenant="two", at_ms=5))
    keys.issue(issued(GRANT, key_id="k2", text="text 1", tenant="two", at_ms=5))
    assert (len(keys), keys.tenants) == (1, 1)
    assert keys.find("other") is keys.get("k2") is None


@pytest.mark.parametrize("grant", [
    Grant("none", ()), Grant("twice", ("write", "write")), Grant("public admin", ("admin",), public=True),
    Grant("public catalogue", ("write", "catalog"), public=True), Grant("public role", role="viewer", public=True),
    Grant("public reader", ("decide", "receipts:read"), public=True), Grant("both", ("write",), role="viewer"),
])
def test_a_grant_that_cannot_be_is_refused(grant: Grant):
    with pytest.raises(RequestRejected):
        check_grant(grant)


@pytest.mark.parametrize("check", [check_tenant])
@pytest.mark.parametrize("tenant", ["", "Shop", "a b", "a/b", "a\x00", "ä", "x" * 65, "a\n"])
def test_what_is_no_name_of_a_tenant_is_refused(tenant: str, check: Callable[[str], None]):
    with pytest.raises(RequestRejected):
        check(tenant)


def test_every_scope_comes_with_a_role_and_a_refusal_can_name_it():
    for scope in SCOPES:
        assert "admin" in roles_with(scope)
        assert comes_with(scope).endswith(f"a role: {', '.join(roles_with(scope))}")
    assert held(ROLES["admin"]) == {*SCOPES}


def test_who_only_looks_sees_nothing_of_people_and_changes_nothing():
    seen = held(ROLES["viewer"])
    assert not seen & held(ROLES["privacy"])
    assert all(scope.endswith(":read") for scope in seen)


def test_names_of_tenants_are_taken():
    for tenant in ("default", "shop-2", "x" * 64, "0", "-"):
        check_tenant(tenant)
