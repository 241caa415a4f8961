"""What an event name that nobody hears probably means: the known name that its spelling or its words point to."""

from __future__ import annotations

import re
from collections.abc import Collection, Set
from typing import Final

from .kinds import nearest_name

_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")

_BASKET: Final = {"cart", "basket", "bag", "trolley", "warenkorb", "panier", "carrito"}
_WISHES: Final = {"wishlist", "wish", "favourite", "favorite", "favorites", "favourites", "bookmark", "save", "saved"}
_BUYING: Final = {
    "purchase", "purchased", "buy", "bought", "order", "ordered", "paid", "payment", "sale", "sold", "transaction",
    "checkout", "conversion", "kauf", "achat", "compra",
}  # fmt: skip
_ADDING: Final = {"add", "added", "adding", "put", "insert"}
_REMOVING: Final = {"remove", "removed", "delete", "deleted", "drop", "dropped", "undo"}
_SEARCHING: Final = {"search", "searched", "query", "find"}
_LISTS: Final = {"list", "category", "collection", "catalog", "catalogue", "impression", "impressions", "results"}
_CLICKING: Final = {"click", "clicked", "tap", "tapped", "select", "selected", "choose", "chosen"}
_VIEWING: Final = {
    "view", "viewed", "open", "opened", "see", "seen", "show", "shown", "visit", "visited", "look", "looked", "detail",
    "details", "display", "displayed", "watch", "watched", "play", "played", "hit",
}  # fmt: skip
_READING: Final = {"read", "reading", "finished", "completed"}
_LIKING: Final = {"like", "liked", "love", "loved", "upvote"}
_CONTENT: Final = {"article", "story", "post", "news", "content", "blog"}
_PAGES: Final = {"page", "pageview", "screen"}
_REFUNDING: Final = {"refund", "refunded", "return", "returned"}
_CANCELLING: Final = {"cancel", "canceled", "cancelled"}
_REVIEWING: Final = {"review", "reviewed", "rate", "rated", "rating"}

_CONTRARY: Final = {
    "abandon", "abandoned", "blocked", "clear", "cleared", "declined", "decline", "delayed", "delivered", "denied",
    "dislike", "disliked", "downvote", "empty", "emptied", "error", "expired", "fail", "failed", "failure", "failing",
    "hidden", "hide", "invalid", "muted", "not", "pending", "rejected", "shipped", "skip", "skipped", "timeout",
    "unlike", "unliked", "unsubscribed", "unseen", "void", "voided",
}  # fmt: skip
"""Words of names that mean something else than what the rest of their words mean; they are mapped by nobody else."""

_MEANINGS: Final[tuple[tuple[Set[str], Set[str], str], ...]] = (
    (_REFUNDING, frozenset(), "Order Refunded"),
    (_CANCELLING, frozenset(), "Order Cancelled"),
    (_WISHES, _REMOVING, "Product Removed from Wishlist"),
    (_WISHES, frozenset(), "Product Added to Wishlist"),
    (_BASKET, _REMOVING, "Product Removed"),
    (_BASKET, _ADDING, "Product Added"),
    (_BASKET, _VIEWING, "Cart Viewed"),
    (_BASKET, frozenset(), "Product Added"),
    ({"checkout"}, {"start", "started", "begin", "begun", "enter", "entered"}, "Checkout Started"),
    (_BUYING, frozenset(), "Order Completed"),
    (_SEARCHING, frozenset(), "Products Searched"),
    (_REVIEWING, frozenset(), "Product Reviewed"),
    (_LIKING, frozenset(), "Article Liked"),
    (_CONTENT, _READING, "Article Read"),
    (_CONTENT, _VIEWING, "Article Viewed"),
    (_LISTS, frozenset(), "Product List Viewed"),
    (_PAGES, _VIEWING, "Page Viewed"),
    (_CLICKING, frozenset(), "Product Clicked"),
    (_ADDING, frozenset(), "Product Added"),
    (_REMOVING, frozenset(), "Product Removed"),
    (_READING, frozenset(), "Article Read"),
    (_VIEWING, frozenset(), "Product Viewed"),
    (_CONTENT, frozenset(), "Article Viewed"),
)
"""Words that a name has one of, others that it has one of too, and what it means then; the first that fits holds."""
_WORDS: Final = frozenset().union(*(some | others for some, others, _ in _MEANINGS))


def likely_name(name: str, known: Collection[str]) -> str:
    """The known name that this one looks most like: spelt nearly so, else by what its words mean; "" for none.

    A word that has a meaning of its own is no misspelling of another: `Product Liked` is not `Product Clicked`.
    Bolder than `kinds.nearest_name`: for advice that somebody reads, never for what is done without asking.

    >>> known = ["Product Viewed", "Product Added", "Order Completed", "My Own"]
    >>> [likely_name(name, known) for name in ("Product Vewed", "book_opened", "basket_add", "BUY", "my-ownn", "zzz")]
    ['Product Viewed', 'Product Viewed', 'Product Added', 'Order Completed', 'My Own', '']
    >>> [likely_name(name, known) for name in ("Payment Failed", "Cart Emptied", "ProductDisliked", "OrderShipped")]
    ['', '', '', '']
    """
    words = {word.lower() for word in _WORD.findall(name)}
    if words & _CONTRARY:
        return ""
    near = nearest_name(name, known)
    if near in known and not (words - {word.lower() for word in _WORD.findall(near)}) & _WORDS:
        return near
    for some, others, meant in _MEANINGS:
        if words & some and (not others or words & others) and meant in known:
            return meant
    return ""


def mapping_line(sent: str, meant: str) -> str:
    """The line of `[events.names]` that maps a name.

    >>> print(mapping_line('say "hi"', "Product Viewed"))
    "say \\"hi\\"" = "Product Viewed"
    """
    return f"{_quoted(sent)} = {_quoted(meant)}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
