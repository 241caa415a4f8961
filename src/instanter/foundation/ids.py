"""Identifiers: 64-bit references for people, items and messages, and the ids the engine hands out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import mmh3

from .rng import entropy

_NAME_SEED = 0x1157A17E
_NO_REFERENCE = 0
_KEYED_BYTES = 8
REFERENCE_KEY_BYTES = 16


def reference(text: str) -> int:
    """A stable signed 64-bit hash of a name in a log that has no key, see `References`. Never 0, which means "none".

    >>> reference("sku-1") == reference("sku-1") != reference("sku-2")
    True
    """
    value: int = mmh3.hash64(text, _NAME_SEED)[0]
    return value if value != _NO_REFERENCE else 1


def item_reference(tenant: str, item_id: str) -> int:
    """The reference of an item in a log that has no key; tenants do not share items."""
    return reference(f"{tenant}\x00{item_id}")


class References:
    """64-bit references of items, messages, orders and texts, as one log has them.

    With a key they are BLAKE2b under it: nobody who does not know the key can find two names of one reference. A log
    that was begun before there were keys has none, and goes on with `reference`, which can be inverted: so whoever
    trusts a reference compares what lies there with what is meant. Tests pass `hashed` to make names collide.
    One object serves all parts of a partition, so that the key, which is read from the log, is known to all of them.
    """

    def __init__(self, *, hashed: Callable[[str], int] | None = None, cache_max: int = 16_384) -> None:
        self._forced = hashed
        self._items: dict[str, int] = {}
        self._cache_max = cache_max
        self.key = b""
        self.of: Callable[[str], int] = hashed or reference
        """The reference of a name (message id, order, attribute value). Never 0, which means "none"."""

    def use(self, key: bytes) -> None:
        """Take the key of the log; before anything was referred to."""
        assert len(key) == REFERENCE_KEY_BYTES, "the key of references has its size"
        self.key = key
        self._items.clear()
        self.of = self._forced or _keyed(key)

    def item(self, tenant: str, item_id: str) -> int:
        """The reference of an item; tenants do not share items."""
        text = f"{tenant}\x00{item_id}"
        if not self.key:
            return self.of(text)
        known = self._items.get(text)
        if known is None:
            if len(self._items) >= self._cache_max:
                self._items.clear()
            known = self._items[text] = self.of(text)
        return known

    def group(self, tenant: str, group_id: str) -> int:
        """The reference of a group of variants; tenants do not share groups."""
        return self.of(f"{tenant}\x00group\x00{group_id}")

    def forget(self) -> None:
        """Empty the cache: it may hold what somebody sent who has been erased."""
        self._items.clear()


def _keyed(key: bytes) -> Callable[[str], int]:
    """The hash under a key. Each event asks for it: the key is hashed once, and each text goes on from there."""
    begun = hashlib.blake2b(digest_size=_KEYED_BYTES, key=key).copy

    def of(text: str) -> int:
        hashing = begun()
        try:
            hashing.update(text.encode())
        except UnicodeEncodeError:  # A lone surrogate, as JSON may have it.
            hashing.update(text.encode("utf-8", "surrogatepass"))
        return int.from_bytes(hashing.digest(), "little", signed=True) or 1

    return of


class PersonKeys:
    """64-bit references of people, keyed by the installation's secret.

    Unlike items, people are referred to by ids that outsiders choose and must not guess: the hash is
    BLAKE2b with a key, so nobody without the secret can aim one id at another's cell.
    A bounded cache keeps the people of the last minutes cheap.
    """

    def __init__(self, secret: bytes, *, cache_max: int = 65_536) -> None:
        assert len(secret) >= 16, "the installation's secret is at least 16 bytes"
        self._secret = secret
        self._cache: dict[str, int] = {}
        self._cache_max = cache_max

    def anonymous(self, tenant: str, anonymous_id: str) -> int:
        """The cell of an anonymous id."""
        return self._key(f"{tenant}\x00a\x00{anonymous_id}")

    def user(self, tenant: str, user_id: str) -> int:
        """The cell of a user id."""
        return self._key(f"{tenant}\x00u\x00{user_id}")

    def _key(self, text: str) -> int:
        known = self._cache.get(text)
        if known is not None:
            return known
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, key=self._secret).digest()
        value = int.from_bytes(digest, "little", signed=True) or 1
        if len(self._cache) >= self._cache_max:
            self._cache.clear()
        self._cache[text] = value
        return value


class Ids:
    """Ids that the engine hands out. Tests and the simulator pass their own source of bytes."""

    def __init__(self, source: Callable[[int], bytes] = entropy) -> None:
        self._source = source

    def reference_key(self) -> bytes:
        """A fresh key for the references of a log."""
        return self._source(REFERENCE_KEY_BYTES)

    def token(self, size_bytes: int = 8) -> str:
        """A fresh lower-case hexadecimal token."""
        return self._source(size_bytes).hex()
