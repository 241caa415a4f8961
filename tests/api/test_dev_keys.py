"""Under `--dev` whoever reaches the server can make keys and secrets. None of them counts where keys are asked for."""

from __future__ import annotations

from pathlib import Path

from instanter.api.tenancy import Terms
from instanter.foundation.disk import RealDisk
from instanter.privacy.access import Grant
from instanter.privacy.user_tokens import SigningSecrets

from ..faults.test_s3_tokens import NOW_MS, NOW_S, USER, signed
from .client import Client, track, with_client

TERMS = Terms(key_requests_per_s=1_000)


def test_a_key_that_was_made_under_dev_counts_nowhere_else(tmp_path: Path) -> None:
    async def dev(client: Client) -> str:
        made = (await client.post("/v1/keys", {"name": "mine", "scopes": ["admin", "write"]})).json()
        assert made["dev"]
        [listed] = (await client.get("/v1/keys")).json()["keys"]
        assert (listed["id"], listed["dev"]) == (made["id"], True)
        headers = {"Authorization": f"Bearer {made['key']}"}
        assert (await client.get("/v1/keys", headers=headers)).status_code == 200, "as without one"
        return str(made["key"])

    async def keyed(client: Client) -> None:
        for headers in ({"Authorization": f"Bearer {text}"}, {"X-Write-Key": text}):
            for path in ("/v1/keys", "/v1/profiles", "/v1/state", "/v1/audit"):
                assert (await client.get(path, headers=headers)).status_code == 401
            assert (await client.post("/v1/track", track(1), headers=headers)).status_code == 401
        assert (await client.post("/v1/track", {**track(1), "writeKey": text})).status_code == 401
        await client.key("write")  # A test's ids begin anew with each engine: this one is taken.
        admin = await client.key("admin")
        shown = (await client.get("/v1/keys", headers=admin.headers)).json()["keys"]
        assert {key["id"]: key["dev"] for key in shown}[text.split("_")[1]], "it can be seen, and revoked"
        revoked = await client.call("DELETE", f"/v1/keys/{text.split('_')[1]}", headers=admin.headers)
        assert revoked.json()["revokedAt"]
        other = await client.post("/v1/keys", {"name": "n", "scopes": ["write"]}, headers=admin.headers)
        assert not other.json()["dev"]

    text = with_client(tmp_path, dev)
    with_client(tmp_path, keyed, terms=TERMS)


def test_a_secret_made_under_dev_confirms_nobody_also_after_a_restart(tmp_path: Path) -> None:
    for again in range(2):
        secrets = SigningSecrets(RealDisk(), tmp_path, master=b"m" * 32)
        if not again:
            made = {dev: secrets.make("default", NOW_MS, dev=dev) for dev in (False, True)}
        for dev, (secret, text) in made.items():
            claims = {"sub": USER, "aud": "default", "exp": NOW_S + 600}
            token = signed({"alg": "HS256", "kid": secret.id}, claims, text)
            assert secrets.confirm("default", token, USER, NOW_MS) is not dev


def test_a_key_of_a_log_from_before_counts(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        _, text = await client.engine.credentials.issue_key(Grant("old", ("admin",)), tenant="default", actor="test")
        answer = await client.get("/v1/keys", headers={"Authorization": f"Bearer {text}"})
        assert [key["dev"] for key in answer.json()["keys"]] == [False]

    with_client(tmp_path, work, terms=TERMS)
