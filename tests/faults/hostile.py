"""Bodies that nobody means well with, for every route that takes one; the same ones for the same seed."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from typing import NamedTuple

LARGE_BYTES = 10 * 1024 * 1024
BOMB_BYTES = 64 * 1024 * 1024
KEYS = 100_000


class Hostile(NamedTuple):
    """One request."""

    method: str
    path: str
    body: bytes
    headers: dict[str, str]


EVENT = {
    "type": "track", "messageId": "m", "anonymousId": "a", "event": "Product Viewed",
    "properties": {"product_id": "i1", "price": 9.5, "products": [{"product_id": "i2", "quantity": 2}]},
    "context": {"ip": "203.0.113.7", "page": {"url": "https://a.example/?q"}, "userAgent": "Mozilla/5.0"},
    "timestamp": "2025-06-15T10:00:00Z", "sentAt": 1_750_000_000_000,
}  # fmt: skip
DECIDE = {
    "userId": "u", "anonymousId": "a", "context": {"page": {"path": "/"}}, "deadlineMs": 50, "explain": True,
    "placements": [{"id": "home.recommended", "limit": 4}], "events": [EVENT], "timestamp": None,
}  # fmt: skip
RANK = {
    "anonymousId": "a", "placement": "search", "query": "sofa", "limit": 3,
    "candidates": ["i1", {"id": "i2", "fields": {"price": 90, "category": "c", "stock": 1}}],
}  # fmt: skip
ITEMS = {"items": [{"id": "i1", "fields": {
    "title": "t", "category": ["c", "d"], "brand": "b", "price": 3.5, "stock": 4, "created_at": "2025-01-01"}}]}
SOUND: dict[tuple[str, str], bytes] = {
    **{("POST", f"/v1/{kind}"): json.dumps(EVENT).encode()
       for kind in ("track", "identify", "page", "screen", "group")},
    ("POST", "/v1/alias"): json.dumps({**EVENT, "userId": "u", "previousId": "a"}).encode(),
    ("POST", "/v1/batch"): json.dumps({"batch": [EVENT, EVENT], "context": {"locale": "en"}}).encode(),
    ("POST", "/v1/decide"): json.dumps(DECIDE).encode(),
    ("POST", "/v1/rank"): json.dumps(RANK).encode(),
    ("POST", "/v1/complete"): json.dumps({"anonymousId": "a", "query": "Lamp o", "context": {"locale": "en"}}).encode(),
    ("POST", "/v1/items"): json.dumps(ITEMS).encode(),
    ("PATCH", "/v1/items/i1"): json.dumps({"fields": {"stock": 3}}).encode(),
}  # fmt: skip

VALUES = [
    b"null", b"true", b"-1", b"0", b"7", b"1.5", b'""', b'"x"', b"[]", b"{}", b"[[]]", b"[null]", b'[{"id":[]}]',
    b"9" * 30, b"-" + b"9" * 5_000, b"-9223372036854775809", b"18446744073709551616", b"18446744073709551615",
    b"1e999", b"-1e999", b"1e308", b"-1e308", b"1e-400", b"5e-324", b"NaN", b"Infinity", b"-Infinity", b"0x10", b"01",
    rb'"\u0000"', b'"\x00"', rb'"\ud800"', rb'"\udc00\ud800"', b'"\xff\xfe"', b'"\xc0\x80"', b'"\xed\xa0\x80"',
    b'"\xf0\x9f\x92\xa9"', rb'"\u202e"', b'"' + b"x" * 600 + b'"', b'"' + b"x" * 40_000 + b'"',
    b'"9999-99-99T99:99:99Z"', b'"0000-00-00"', b'"2025-06-15T23:59:60Z"', b"253402300800000", b"9e15",
    b"[" * 70 + b"]" * 70, b"[" * 900 + b"]" * 900, b'{"a":' * 40 + b"1" + b"}" * 40, b"[" * 16_000, b'{"a":' * 9_000,
    b"[" + b"1e300," * 3_000 + b"1]", b"[" + b"[]," * 5_000 + b"[]]", b'["' + b'","' * 5_000 + b'"]',
    b"\xef\xbb\xbf1", b" " * 1_000 + b"1", b",", b":", b"}", b"]", b'"', b"\\", b"",
]  # fmt: skip


def whole_bodies() -> Iterator[tuple[bytes, dict[str, str]]]:
    """Bodies that are wrong as a whole."""
    compressed = {"Content-Encoding": "gzip"}
    yield b"", {}
    yield b"\x00" * 1_000, {}
    yield b" " * LARGE_BYTES, {}
    yield b"[" * 100_000, {}
    yield b'{"a":' * 100_000, {}
    yield b"{" + b",".join(b'"k%d":1' % number for number in range(KEYS)) + b"}", {}
    yield b"{" + b",".join(b'"type":"track"' for _ in range(2_000)) + b"}", {}
    yield gzip.compress(bytes(BOMB_BYTES), 9, mtime=0), compressed
    yield gzip.compress(gzip.compress(bytes(BOMB_BYTES), 9, mtime=0), mtime=0), compressed
    yield b"not gzip at all", compressed
    yield gzip.compress(b'{"batch": []}', mtime=0)[:-5], compressed
    yield b"{}", {"Content-Encoding": "br"}
    yield b"{}", {"Content-Encoding": "gzip, gzip"}
    yield b"{}", {"Content-Type": "text/html; charset=\xff"}
    yield b"{}", {"Host": "["}


def hostile_requests(seed: int, count: int) -> Iterator[Hostile]:
    """`count` requests: first every whole body on every route, then sound ones that were bent."""
    chance = random.Random(seed)
    routes = list(SOUND)
    whole = [Hostile(*route, body, headers) for body, headers in whole_bodies() for route in routes]
    chance.shuffle(whole)
    yield from whole[: count // 2]
    for _ in range(count - min(len(whole), count // 2)):
        route = chance.choice(routes)
        yield Hostile(*route, bent(chance, SOUND[route]), {})


def bent(chance: random.Random, sound: bytes) -> bytes:
    """A sound body, cut, spliced, with a field that holds something else, or with bytes changed."""
    form = chance.randrange(8)
    if form == 0:
        return sound[: chance.randrange(len(sound))]
    if form == 1:
        at = chance.randrange(len(sound))
        return sound[:at] + chance.choice(VALUES) + sound[at + chance.randrange(3) :]
    if form == 2:
        broken = bytearray(sound)
        for _ in range(chance.randrange(1, 6)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        return bytes(broken)
    return replaced(chance, sound)


def replaced(chance: random.Random, sound: bytes) -> bytes:
    """One value, wherever it lies, is another one."""
    mark = "a value that is to be replaced"
    tree = json.loads(sound)
    holder, place = chance.choice(list(places(tree)))
    holder[place] = mark
    return json.dumps(tree).encode().replace(json.dumps(mark).encode(), chance.choice(VALUES))


def places(tree: object) -> Iterator[tuple[dict[object, object] | list[object], object]]:
    """Every place in nested maps and lists."""
    if isinstance(tree, dict | list):
        for place, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield tree, place
            yield from places(value)
