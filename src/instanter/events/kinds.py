"""Event names: the canonical ones, and the way from a sender's spelling to them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from ..foundation.errors import ConfigRejected
from ..foundation.limits import EVENT_NAMES_MAX, NAME_CHARS_MAX
from .meanings import BY_NAME, MEANINGS

# Ecommerce v2.
PRODUCTS_SEARCHED = "Products Searched"
PRODUCT_LIST_VIEWED = "Product List Viewed"
PRODUCT_LIST_FILTERED = "Product List Filtered"
PRODUCT_CLICKED = "Product Clicked"
PRODUCT_VIEWED = "Product Viewed"
PRODUCT_ADDED = "Product Added"
PRODUCT_REMOVED = "Product Removed"
PRODUCT_SHARED = "Product Shared"
PRODUCT_REVIEWED = "Product Reviewed"
PRODUCT_ADDED_TO_WISHLIST = "Product Added to Wishlist"
PRODUCT_REMOVED_FROM_WISHLIST = "Product Removed from Wishlist"
CART_VIEWED = "Cart Viewed"
CART_SHARED = "Cart Shared"
CHECKOUT_STARTED = "Checkout Started"
CHECKOUT_STEP_VIEWED = "Checkout Step Viewed"
CHECKOUT_STEP_COMPLETED = "Checkout Step Completed"
PAYMENT_INFO_ENTERED = "Payment Info Entered"
ORDER_COMPLETED = "Order Completed"
ORDER_CLAIMED = "Order Claimed"
"""What an order becomes that came with a public access key, see `claims`."""
ORDER_UPDATED = "Order Updated"
ORDER_REFUNDED = "Order Refunded"
ORDER_CANCELLED = "Order Cancelled"
PROMOTION_VIEWED = "Promotion Viewed"
PROMOTION_CLICKED = "Promotion Clicked"
COUPON_ENTERED = "Coupon Entered"
COUPON_APPLIED = "Coupon Applied"
COUPON_DENIED = "Coupon Denied"
COUPON_REMOVED = "Coupon Removed"

# Content.
ARTICLE_VIEWED = "Article Viewed"
ARTICLE_READ = "Article Read"
ARTICLE_LIKED = "Article Liked"

# Behaviour.
PAGE_LEFT = "Page Left"
PAGE_BACK = "Page Back"
RAGE_CLICKED = "Rage Clicked"
DEAD_CLICKED = "Dead Clicked"
HELP_VIEWED = "Help Viewed"
PRICE_COMPARED = "Price Compared"

# The types that carry no event name of their own.
PAGE_VIEWED = "Page Viewed"
SCREEN_VIEWED = "Screen Viewed"
IDENTIFIED = "Identified"
GROUPED = "Grouped"
ALIASED = "Aliased"

TYPES = ("track", "identify", "page", "screen", "group", "alias")
"""The values of `type`, which are the routes too."""

NAME_BY_TYPE = {
    "page": PAGE_VIEWED,
    "screen": SCREEN_VIEWED,
    "identify": IDENTIFIED,
    "group": GROUPED,
    "alias": ALIASED,
}

KNOWN = tuple(BY_NAME)
"""Every canonical name, see `meanings`. A feature or rule may name others too: senders are free to."""

NUMBERS = frozenset({
    "price", "quantity", "position", "value", "revenue", "total", "subtotal", "tax", "shipping", "discount",
    "dwell_ms", "read_ms", "scroll_pct", "rating", "results", "step", "duration_ms",
})  # fmt: skip
"""The numeric properties of the events above: the ones that stand in the clear part of a record."""


def folded(name: str) -> str:
    """The spelling without case, spaces, dashes, underscores and dots; what two spellings of one name share.

    >>> folded("Product Viewed") == folded("product_viewed") == folded(" productViewed")
    True
    """
    kept = name.casefold()
    for separator in (" ", "_", "-", ".", "\t"):
        kept = kept.replace(separator, "")
    return kept


def _spellings() -> dict[str, str]:
    """Folded spelling -> canonical name: the table's, then the name with its verb first, then the name itself."""
    found = {
        folded(writing): one.name
        for one in MEANINGS for spelling in one.spellings for writing in (spelling, spelling.replace("/", " "))
    }  # fmt: skip
    for name in KNOWN:
        *thing, verb = name.split(" ")
        found[folded(verb + "".join(thing))] = name
    for name in KNOWN:
        found[folded(name)] = name
    return found


_SPELLINGS = _spellings()
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+")
_ENDING = re.compile(r"(e|ed|s|es)$")
_SMALL_WORDS = frozenset({"a", "from", "of", "the", "to"})
_LIKENESS_LEAST = 0.82
"""Of two folded names, from which on one is probably meant to be the other."""


def canonical_name(sent: str) -> str:
    """The canonical name where the table knows this one, else the name as it is, trimmed.

    >>> canonical_name("view_item"), canonical_name("Sofa Assembled")
    ('Product Viewed', 'Sofa Assembled')
    """
    return _SPELLINGS.get(folded(sent.strip()), sent.strip())


def nearest_name(name: str, others: Iterable[str] = ()) -> str:
    """The known name, or one of `others`, that this was probably meant to be; "" if none is close.

    >>> nearest_name("Product Vewed"), nearest_name("basket_add"), nearest_name("Sofa Assembled")
    ('Product Viewed', 'Product Added', '')
    """
    meant = {**_SPELLINGS, **{folded(other): other for other in others}}
    close = difflib.get_close_matches(folded(name), meant, n=1, cutoff=_LIKENESS_LEAST)
    if close:
        return meant[close[0]]
    spelled = [*others, *KNOWN, *(spelling for one in MEANINGS for spelling in one.spellings)]
    words = _words(name)
    return next((meant[folded(other)] for other in spelled if words and _words(other) == words), "")


def _words(name: str) -> frozenset[str]:
    """The words of a name without their endings, in no order.

    >>> _words("basket_add") == _words("Added to Basket")
    True
    """
    words = _WORD.findall(name)
    return frozenset(_ENDING.sub("", word.casefold()) for word in words if word.casefold() not in _SMALL_WORDS)


class Names:
    """From the sender's name to the canonical one. `mapping` (from the configuration) comes before our own spellings;
    what it maps to may be written in any way.

    >>> names = Names({"addToBasket": "Product Added"})
    >>> [names.canonical(name) for name in ("add_to_basket", "Viewed Product", " My Event ")]
    ['Product Added', 'Product Viewed', 'My Event']
    """

    def __init__(self, mapping: Mapping[str, str] | None = None) -> None:
        self._by_spelling = dict(_SPELLINGS)
        for sent, name in (mapping or {}).items():
            if not folded(sent) or not name.strip() or len(name) > NAME_CHARS_MAX:
                raise ConfigRejected(
                    f"event name {sent!r} cannot be mapped to {name!r}",
                    suggestion=f"both sides are names of 1 to {NAME_CHARS_MAX} characters",
                )
            self._by_spelling[folded(sent)] = canonical_name(name)
        self.met: dict[str | None, str] = {}
        """What `canonical` gave for these very spellings, as far as it is remembered; to be read."""

    def forget(self) -> None:
        """Empty the cache."""
        self.met.clear()

    def canonical(self, sent: str) -> str:
        """The canonical name, or the name as sent, trimmed. Its length is the caller's to check."""
        known = self.met.get(sent)
        if known is not None:
            return known
        trimmed = sent.strip()
        name = self._by_spelling.get(folded(trimmed), trimmed)
        if len(sent) <= NAME_CHARS_MAX:
            if len(self.met) >= EVENT_NAMES_MAX:
                self.met.clear()
            self.met[sent] = name
        return name
