"""Mistakes that a stranger makes: each is answered with the field, what stands there, and the remedy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .client import Client, with_client

DECIDE = {"userId": "u1", "deadlineMs": 10_000}
HERO = [{"id": "home.hero"}]
ENTRAILS = re.compile(r"Expected `|Object (missing|contains)|Invalid enum|\$\.|Traceback|msgspec|<class")

MISTAKES: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/v1/decide", {"userId": "u1"}, 400, "placements is missing"),
    ("POST", "/v1/decide", {"placements": ["home.hero"]}, 400, "placements[0] is text where an object is wanted"),
    ("POST", "/v1/decide", {"placements": [{"id": "home"}]}, 400, 'did you mean "home.hero"?'),
    ("POST", "/v1/decide", {"placements": [{"id": "home.hero", "limit": 0}]}, 400, "placements[0].limit is at least 1"),
    ("POST", "/v1/decide", {"placements": [{"id": "home.hero", "limit": 999}]}, 400, "limit is at most 200"),
    ("POST", "/v1/decide", {"placements": HERO, "deadlineMs": "50"}, 400, "deadlineMs is text where a number"),
    ("POST", "/v1/decide", {"placements": HERO, "timestamp": "yesterday"}, 400, "timestamp"),
    ("POST", "/v1/decide", [], 400, "the body is a list where an object is wanted"),
    ("GET", "/v1/decide", None, 405, "POST"),
    ("POST", "/v1/rank", {"candidates": ["a"]}, 400, "placement is missing"),
    ("POST", "/v1/rank", {"placement": "search", "candidates": "a"}, 400, "candidates is text where a list is wanted"),
    ("POST", "/v1/track", {"anonymousId": "a", "event": "X", "properties": "none"}, 400, "properties is text"),
    ("POST", "/v1/track", {"anonymousId": "a"}, 400, "event name"),
    ("POST", "/v1/track", b"event=Product+Viewed", 400, "form"),
    ("POST", "/v1/track", b"", 400, "empty"),
    ("POST", "/v1/batch", [{"type": "page"}], 400, "the body is a list"),
    ("POST", "/v1/batch", {"events": []}, 400, "batch is missing"),
    ("POST", "/v1/items", {"items": {"id": "x"}}, 400, "items is a list"),
    ("PATCH", "/v1/items/nope", {"fields": {"stock": 1}}, 404, "nope"),
    ("GET", "/v1/profile/u9", None, 404, "/openapi.json"),
    ("PUT", "/v1/profiles/u1/consent", {"personalization": True}, 400,
     "personalization is no field here: there is purposes"),
    ("PUT", "/v1/profiles/u1/consent", {"purposes": {"x": "yes"}}, 400, "is text where true or false is wanted"),
    ("POST", "/v1/keys", {"name": "x"}, 400, "a key has a role (viewer, merchandiser"),
    ("POST", "/v1/keys", {"name": "x", "scopes": ["sell"]}, 400, "one of admin, audit:read, catalog"),
    ("POST", "/v1/keys", {"name": "x", "scopes": ["wirte"]}, 400, "did you mean write?"),
    ("POST", "/v1/keys", {"name": "x", "scopes": ["write", "model:read"]}, 400, "did you mean models:read?"),
    ("POST", "/v1/keys", {"name": "x", "role": "merchandizer"}, 400, "did you mean merchandiser?"),
    ("POST", "/v1/keys", {"name": "x", "role": "owner"}, 400, "one of admin, analyst, merchandiser, operator"),
    ("POST", "/v1/keys", {"name": "x", "role": "viewer", "scopes": ["write"]}, 400, "a role or scopes, not both"),
    ("POST", "/v1/keys", {"name": "x", "role": "viewer", "public": True}, 400, "decide, write, and no role"),
    ("POST", "/v1/quarantine/repair", {"rewrites": []}, 400, "rewrites is no field here: did you mean rewrite?"),
    ("POST", "/v1/quarantine/repair", {"frob": 1}, 400, "frob is no field here: there are code, dryRun"),
    ("GET", "/v1/quarantine/abc", None, 400, "position"),
    ("PUT", "/v1/learners/home.hero", {"act": "stop"}, 400, "one of freeze, reset, thaw"),
    ("POST", "/v1/imports/abc", {"batch": [], "lines": []}, 400, "32 hexadecimal digits"),
    ("POST", "/v1/imports", {"batch": [{}, {}], "lines": [3, 2]}, 400, "ascending"),
    ("POST", "/v1/remap", {"dryrun": True}, 400, "dryrun is no field here: did you mean dryRun?"),
    ("POST", "/v1/remap", {"after": "x"}, 400, "after is what the step before named as next"),
    ("GET", "/v1/profiles?limit=x", None, 400, "limit is a whole number from 1 to 200"),
]


def test_each_is_told_in_words_that_a_stranger_can_act_on(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        await client.stock("sku-1")
        for method, path, body, status, told in MISTAKES:
            asked = {**DECIDE, **body} if path == "/v1/decide" and isinstance(body, dict) else body
            reply = await client.call(method, path, asked)
            message = reply.json()["error"]["message"]
            assert (reply.status_code, told in message) == (status, True), (method, path, body, message)
            assert not ENTRAILS.search(message), message

    with_client(tmp_path, work)
