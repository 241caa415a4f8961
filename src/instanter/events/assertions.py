"""What an event may claim that came with a public access key: one that stands in a page for everybody to read.

With it anybody can send anything in anybody's name, so it is good for what a visitor without a name does, and for
nothing that says who somebody is or that money changed hands.
"""

from __future__ import annotations

from typing import Final

from ..foundation.errors import EventRejected
from .kinds import ORDER_CANCELLED, ORDER_COMPLETED, ORDER_REFUNDED, ORDER_UPDATED

ORDERS: Final = frozenset({ORDER_COMPLETED, ORDER_UPDATED, ORDER_REFUNDED, ORDER_CANCELLED})
"""Events that only a shop's own server can know of, by canonical name. A checkout is what a visitor does, and is not
among them."""
FORBIDDEN: Final = "forbidden"
"""The code of an event that asserts too much."""


def refuse_assertions(*, kind: str, name: str, user_id: str) -> None:
    """Raise `EventRejected` if an event says more than a public key may.

    >>> refuse_assertions(kind="track", name="Checkout Started", user_id="")
    >>> refuse_assertions(kind="track", name="Order Completed", user_id="")
    Traceback (most recent call last):
    instanter.foundation.errors.EventRejected: forbidden: a public key sends no Order Completed
    """
    if user_id:
        raise EventRejected(FORBIDDEN, "a public key asserts no userId", status=403)
    if kind == "alias":
        raise EventRejected(FORBIDDEN, "a public key sends no alias", status=403)
    if name in ORDERS:
        raise EventRejected(FORBIDDEN, f"a public key sends no {name}", status=403)
