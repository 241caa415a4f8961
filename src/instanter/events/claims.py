"""What an event counts for that came with a public access key: one that stands in a page for everybody to read.

With it anybody can send anything in anybody's name. So it is good for what a visitor without a name does; a user id
and an order are claims. A claim is kept and counts for the device alone, until a key that is secret, or a user token
that the shop's own server has signed, says the same.
"""

from __future__ import annotations

import re
from typing import Any, Final, Protocol

import msgspec

from ..foundation.errors import EventRejected
from .bodies import body_decoder
from .kinds import ORDER_CANCELLED, ORDER_CLAIMED, ORDER_COMPLETED, ORDER_REFUNDED, ORDER_UPDATED

CORRECTIONS: Final = frozenset({ORDER_UPDATED, ORDER_REFUNDED, ORDER_CANCELLED})
"""Events that correct an order: only a shop's own server can know of them."""
FORBIDDEN: Final = "forbidden"
"""The code of an event that asserts what no public key can."""


class _Signed(msgspec.Struct, frozen=True, rename="camel"):
    """What of a context is looked at."""

    user_token: Any = None


_token_of = body_decoder(_Signed)
_TOKEN = re.compile(rb'"userToken"\s*:\s*"(?:[^"\\]|\\.)*"?')


def without_user_tokens(raw: bytes) -> bytes:
    """Bytes that need not be JSON, with every user token in them made empty: nothing keeps one.

    >>> without_user_tokens(b'{"context": {"userToken": "a.b.c"}, "type": 7}')
    b'{"context": {"userToken":""}, "type": 7}'
    """
    return _TOKEN.sub(b'"userToken":""', raw) if b'"userToken"' in raw else raw


class UserTokens(Protocol):
    """Says whether a user token is good: the seam to the signing secrets."""

    def confirm(self, tenant: str, token: str, user_id: str, now_ms: int) -> bool:
        """Whether the tenant has signed that whoever sends this is `user_id`, and that still holds."""
        ...

    def forget(self) -> None:
        """Empty the caches: they may name somebody who has been erased."""
        ...


class NoUserTokens:
    """An installation that has signed nothing."""

    def confirm(self, tenant: str, token: str, user_id: str, now_ms: int) -> bool:
        return False

    def forget(self) -> None:
        """There is none."""


def user_token_in(context: bytes | msgspec.Raw) -> str:
    """The user token in circumstances that are JSON still; "" where there is none.

    >>> user_token_in(b'{"userToken": "a.b.c", "locale": "en"}'), user_token_in(b'{"locale": "en"}')
    ('a.b.c', '')
    """
    raw = bytes(context)
    if b'"userToken"' not in raw:
        return ""
    sent = _token_of(raw).user_token
    return sent if isinstance(sent, str) else ""


def claimed_name(type_: str, name: str) -> str:
    """The canonical name under which a public key's event is kept; `EventRejected` for what it cannot say at all.

    >>> claimed_name("track", "Checkout Started"), claimed_name("track", "Order Completed")
    ('Checkout Started', 'Order Claimed')
    >>> claimed_name("track", "Order Refunded")
    Traceback (most recent call last):
    instanter.foundation.errors.EventRejected: forbidden: a public key sends no Order Refunded; send it from your \
server, with a secret key
    """
    if name == ORDER_COMPLETED:
        return ORDER_CLAIMED
    if type_ == "alias" or name in CORRECTIONS:
        what = "alias" if type_ == "alias" else name
        reason = f"a public key sends no {what}; send it from your server, with a secret key"
        raise EventRejected(FORBIDDEN, reason, status=403)
    return name
