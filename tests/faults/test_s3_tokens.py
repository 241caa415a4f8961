"""S3: forged user tokens. Each is refused, and nobody can tell from the reply what was the matter with it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from instanter.api.tenancy import Terms
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import ConfigRejected, Corrupt, Overloaded, RequestRejected
from instanter.foundation.limits import SIGNING_SECRETS_PER_TENANT_MAX, USER_TOKEN_CHARS_MAX, USER_TOKENS_KNOWN_MAX
from instanter.privacy import user_tokens
from instanter.privacy.user_tokens import FILE, SigningSecrets

from ..api.client import Client, track, with_client

MASTER = b"m" * 32
NOW_MS = 1_750_000_000_000
NOW_S = NOW_MS // 1_000
USER = "ada"
TERMS = Terms(key_requests_per_s=1_000_000)


def part(content: Any) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: Any, claims: Any, secret: str, *, digest: Any = hashlib.sha256) -> str:
    """A token of these parts, made by hand: libraries refuse to make the bad ones."""
    text = f"{part(header)}.{part(claims)}"
    return f"{text}.{part(hmac.new(secret.encode(), text.encode(), digest).digest())}"


class Forger:
    """Somebody who has seen a good token, and has a secret of another tenant and one that was revoked."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.secrets = SigningSecrets(RealDisk(), folder, master=MASTER)
        made, self.secret = self.secrets.make("shop", NOW_MS)
        other, self.other_secret = self.secrets.make("other", NOW_MS)
        gone, self.gone_secret = self.secrets.make("shop", NOW_MS)
        self.secrets.revoke("shop", gone.id)
        self.kid, self.other_kid, self.gone_kid = made.id, other.id, gone.id

    def header(self, **changed: Any) -> dict[str, Any]:
        return {"alg": "HS256", "typ": "JWT", "kid": self.kid, **changed}

    def claims(self, **changed: Any) -> dict[str, Any]:
        claims = {"sub": USER, "aud": "shop", "exp": NOW_S + 3_600, **changed}
        return {name: value for name, value in claims.items() if value is not None}

    def good(self, **changed: Any) -> str:
        return jwt.encode(self.claims(**changed), self.secret, algorithm="HS256", headers={"kid": self.kid})

    def forgeries(self) -> Iterator[tuple[str, str]]:
        header, claims, good = self.header(), self.claims(), self.good()
        head, body, signature = good.split(".")
        for alg in ("none", "None", "NONE", "nOnE", "", None, 7, ["HS256"], "hs256"):
            yield f"algorithm {alg!r}, unsigned", f"{part(self.header(alg=alg))}.{body}."
            yield f"algorithm {alg!r}, signed", signed(self.header(alg=alg), claims, self.secret)
        for alg, digest in (("HS384", hashlib.sha384), ("HS512", hashlib.sha512), ("RS256", hashlib.sha256),
                            ("ES256", hashlib.sha256), ("PS256", hashlib.sha256), ("EdDSA", hashlib.sha256)):
            yield f"algorithm {alg}", signed(self.header(alg=alg), claims, self.secret, digest=digest)
        yield "no algorithm", signed({"kid": self.kid}, claims, self.secret)
        yield "no kid", signed({"alg": "HS256"}, claims, self.secret)
        for kid in ("", "0" * 12, "../installation.key", "/dev/null", "' OR 1=1", 7, None, [self.kid], self.other_kid,
                    self.gone_kid, self.kid.upper() + "x", "\0" + self.kid):
            yield f"kid {kid!r}", signed(self.header(kid=kid), claims, self.secret)
        yield "signed with nothing", signed(header, claims, "")
        yield "signed with the kid", signed(header, claims, self.kid)
        yield "signed by another tenant", signed(header, claims, self.other_secret)
        yield "another tenant's altogether", signed(self.header(kid=self.other_kid), claims, self.other_secret)
        yield "signed with a revoked secret", signed(self.header(kid=self.gone_kid), claims, self.gone_secret)
        yield "a key in the header", signed(
            self.header(jwk={"kty": "oct", "k": part(b"mine")}, jku="http://127.0.0.1/keys"), claims, "mine")
        yield "critical extension", signed(self.header(crit=["exp"]), claims, self.secret)
        yield "empty critical", signed(self.header(crit=[]), claims, self.secret)
        yield "unencoded payload", signed(self.header(b64=False, crit=["b64"]), claims, self.secret)
        for name, value in (
            ("exp", NOW_S), ("exp", NOW_S - 1), ("exp", 0), ("exp", -1), ("exp", None), ("exp", "soon"), ("exp", True),
            ("exp", str(NOW_S + 60)), ("exp", NOW_S + 3 * 86_400), ("exp", 1e300), ("exp", [NOW_S + 60]),
            ("nbf", NOW_S + 3_600), ("nbf", "later"), ("iat", NOW_S + 3_600), ("iat", {}), ("aud", None), ("aud", ""),
            ("aud", "other"), ("aud", ["shop"]), ("aud", ["other", "shop"]), ("aud", "SHOP"), ("sub", None),
            ("sub", ""), ("sub", "bert"), ("sub", "ada "), ("sub", "Ada"), ("sub", 7),
            ("sub", ["ada"]), ("sub", {"is": "ada"}),
        ):
            yield f"{name} {value!r}", signed(header, self.claims(**{name: value}), self.secret)
        yield "another body", f"{head}.{part(self.claims(sub='bert'))}.{signature}"
        yield "another head", f"{part(self.header(typ='x'))}.{body}.{signature}"
        yield "no signature", f"{head}.{body}."
        yield "two parts", f"{head}.{body}"
        yield "four parts", f"{good}.{signature}"
        yield "cut short", good[:-1]
        yield "a bit more", good + "A"
        yield "one bit", good[:-4] + ("B" if good[-4] != "B" else "C") + good[-3:]
        yield "standard alphabet", good.replace("_", "/").replace("-", "+") + "=="
        yield "white space", good.replace(".", ". ")
        yield "claims that are a list", signed(header, [claims], self.secret)
        yield "claims that are text", signed(header, "ada", self.secret)
        yield "claims that are no JSON", signed(header, b"{sub: ada", self.secret)
        yield "a header that is a list", signed([header], claims, self.secret)
        yield "a number beyond JSON", signed(
            header, json.dumps(self.claims()).replace(str(NOW_S + 3_600), "NaN").encode(), self.secret)
        yield "deep", signed(header, b'{"sub":' + b"[" * 400 + b"]" * 400 + b"}", self.secret)
        yield "oversize", signed(header, self.claims(more="x" * USER_TOKEN_CHARS_MAX), self.secret)
        yield "nothing", ""
        yield "dots", ".."
        yield "not ASCII", "é.é.é"


@pytest.fixture
def forger(tmp_path: Path) -> Forger:
    return Forger(tmp_path / "keys")


def test_s3_every_forgery_is_refused_and_a_good_token_is_not(forger: Forger) -> None:
    cases = list(forger.forgeries())
    assert len({what for what, _ in cases}) >= 40
    for _ in range(2):  # Known and unknown.
        assert forger.secrets.confirm("shop", forger.good(), USER, NOW_MS)
        for what, token in cases:
            user = "bert" if what == "another body" else USER
            assert not forger.secrets.confirm("shop", token, user, NOW_MS), what
    assert not forger.secrets.confirm("other", forger.good(), USER, NOW_MS)
    assert not forger.secrets.confirm("shop", forger.good(sub="7"), "", NOW_MS)


def test_s3_a_token_holds_from_when_it_says_until_it_ends(forger: Forger) -> None:
    token = forger.good(nbf=NOW_S + 600, exp=NOW_S + 1_200)
    holds = [at_s for at_s in range(0, 2_000, 60) if forger.secrets.confirm("shop", token, USER, NOW_MS + at_s * 1_000)]
    assert holds == list(range(540, 1_200, 60)), "a minute early, for clocks that differ, and never late"


def test_s3_a_revoked_secret_ends_its_tokens_at_once_and_others_go_on(forger: Forger) -> None:
    first, (second, text) = forger.good(), forger.secrets.make("shop", NOW_MS)
    newer = jwt.encode(forger.claims(), text, algorithm="HS256", headers={"kid": second.id})
    assert all(forger.secrets.confirm("shop", token, USER, NOW_MS) for token in (first, newer))
    forger.secrets.revoke("shop", forger.kid)
    assert [forger.secrets.confirm("shop", token, USER, NOW_MS) for token in (first, newer)] == [False, True]
    with pytest.raises(RequestRejected, match="no such signing secret"):
        forger.secrets.revoke("other", second.id)


def test_s3_secrets_outlive_the_process_sealed_and_within_bounds(forger: Forger, tmp_path: Path) -> None:
    raw = (tmp_path / "keys" / FILE).read_bytes()
    assert forger.secret.encode() not in raw
    assert bytes.fromhex(forger.secret) not in raw
    again = SigningSecrets(RealDisk(), tmp_path / "keys", master=MASTER)
    assert again.confirm("shop", forger.good(), USER, NOW_MS)
    with pytest.raises(ConfigRejected, match="another master key"):
        SigningSecrets(RealDisk(), tmp_path / "keys", master=b"n" * 32)
    for _ in range(SIGNING_SECRETS_PER_TENANT_MAX - 1):
        again.make("shop", NOW_MS)
    with pytest.raises(Overloaded, match="revoke one"):
        again.make("shop", NOW_MS)
    (tmp_path / "keys" / FILE).write_bytes(raw[:-3])
    with pytest.raises(Corrupt, match="not signing secrets"):
        SigningSecrets(RealDisk(), tmp_path / "keys", master=MASTER)


def test_s3_secrets_of_all_tenants_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_tokens, "SIGNING_SECRETS_MAX", 3)
    secrets = SigningSecrets(RealDisk(), tmp_path, master=MASTER)
    for tenant in ("one", "two", "three"):
        secrets.make(tenant, NOW_MS)
    with pytest.raises(Overloaded, match="at most 3 signing secrets"):
        secrets.make("four", NOW_MS)
    assert secrets.of_tenant("four") == []


def test_s3_what_is_remembered_of_tokens_is_bounded(forger: Forger) -> None:
    for number in range(USER_TOKENS_KNOWN_MAX + 10):
        forger.secrets.confirm("shop", f"x.y.{number}", USER, NOW_MS)
    assert len(forger.secrets._known) <= USER_TOKENS_KNOWN_MAX
    forger.secrets.forget()
    assert forger.secrets._known == {}


def test_s3_the_reply_to_a_forgery_is_that_to_no_token_at_all(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        admin, public = await client.key("admin"), await client.key("write", "decide", public=True)
        made = (await client.post("/v1/signing-secrets", headers=admin.headers)).json()
        forger = Forger(tmp_path / "forger")
        shown = set()
        for number, (what, token) in enumerate([("no token", ""), *forger.forgeries()]):
            sent = {**track(number), "userId": USER, "context": {"userToken": token}}
            reply = await client.post("/v1/track", sent, headers=public.headers)
            body = reply.json()
            assert (reply.status_code, body.pop("position").isdigit()) == (200, True), what
            for warning in body["warnings"]:
                assert warning.pop("messageId") == sent["messageId"]
            shown.add(json.dumps(body))
        assert len(shown) == 1
        assert (await client.get(f"/v1/profiles/{USER}", headers=admin.headers)).status_code == 404
        good = jwt.encode(
            {"sub": USER, "aud": made["tenant"], "exp": client.engine.clock.now_ms() // 1_000 + 600}, made["secret"],
            headers={"kid": made["id"]},
        )  # fmt: skip
        identify = {"messageId": "i", "anonymousId": "a1", "userId": USER, "context": {"userToken": good}}
        assert (await client.post("/v1/identify", identify, headers=public.headers)).status_code == 200
        assert (await client.get(f"/v1/profiles/{USER}", headers=admin.headers)).json()["linked"] == ["anonymous:a1"]

    with_client(tmp_path / "data", work, terms=TERMS, clock=ManualClock(NOW_MS))
