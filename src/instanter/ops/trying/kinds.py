"""What kinds of events are called by shops and data sets, beside the spellings that are known everywhere."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from ...events.kinds import (
    KNOWN,
    ORDER_COMPLETED,
    PRODUCT_ADDED,
    PRODUCT_ADDED_TO_WISHLIST,
    PRODUCT_CLICKED,
    PRODUCT_LIST_VIEWED,
    PRODUCT_REMOVED,
    PRODUCT_VIEWED,
    PRODUCTS_SEARCHED,
    canonical_name,
)
from ...foundation.limits import NAME_CHARS_MAX

TAKEN: Final = (
    PRODUCT_VIEWED, PRODUCT_CLICKED, PRODUCT_ADDED, PRODUCT_ADDED_TO_WISHLIST, PRODUCT_REMOVED, ORDER_COMPLETED
)  # fmt: skip
"""What is taken of a history: what says that somebody turned to an item, or away from it."""
_BY_WORDS: Final[tuple[tuple[str, str], ...]] = (
    (r"\b(remove|removed|rm|delete|del)\b.*(cart|basket|bag|korb|panier|carrito)|(cart|basket|bag|korb|panier|carrito).*"
     r"(remove|delete|\brm\b|entfern|lösch)|^unlike$|^dislike$", PRODUCT_REMOVED),
    (r"add.*(cart|basket|bag|panier|carrito)|(cart|basket|bag).*add|^(cart|basket|atc|addtocart|warenkorb)$|"
     r"(in|zum|au|al) ?(den |der )?(warenkorb|panier|carrito)", PRODUCT_ADDED),
    (r"purchase|^(buy|bought|order|ordered|transaction|sale|conversion|kauf|bestellung|checkout_?complete[d]?)$",
     ORDER_COMPLETED),
    (r"wish|fav|^(like|liked|save|saved|bookmark|collect)$", PRODUCT_ADDED_TO_WISHLIST),
    (r"impression|^list_view$|(list|ranking|carousel).*(view|shown)|^(ranking|shown|exposure)$", PRODUCT_LIST_VIEWED),
    (r"^search for item$|click-?\s?out|clickout|^clicks?$|^list_click$|select.*item|item.*(click|select)|^klick$",
     PRODUCT_CLICKED),
    (r"^search|site_search|^suche", PRODUCTS_SEARCHED),
    (r"\bpdp\b|(product|item|sku|artikel|produkt|produit|producto).*(view|detail|ansicht|angesehen|vu[e]?\b|visto)|"
     r"(view|detail|ansicht|vu[e]?\b|visto).*(product|item|sku|artikel|produkt)|detail ?(view|page|seite|ansicht)|"
     r"^(view|views|viewed|pv|detail|details|visit|watch|play|read|ansicht|item_?view|page_?view_?product)$|"
     r"interaction item|article.*view|^interaction$", PRODUCT_VIEWED),
)  # fmt: skip
"""Patterns over a name in small letters, the first that fits counts."""
_SEPARATORS: Final = re.compile(r"[\s_\-.]+")


@lru_cache(maxsize=1_024)
def kind_meant(name: str) -> str:
    """The name of the tracking specification that a kind of event means; "" where nothing is known of it.

    >>> kind_meant("view"), kind_meant("addtocart"), kind_meant("transaction"), kind_meant("clickout item")
    ('Product Viewed', 'Product Added', 'Order Completed', 'Product Clicked')
    >>> kind_meant("remove_from_cart"), kind_meant("sofa assembled"), kind_meant("purchase")
    ('Product Removed', '', 'Order Completed')
    >>> kind_meant("pdp_view"), kind_meant("rm_cart"), kind_meant("Produktansicht"), kind_meant("in_den_warenkorb")
    ('Product Viewed', 'Product Removed', 'Product Viewed', 'Product Added')
    """
    if len(name) > NAME_CHARS_MAX:
        return ""
    known = canonical_name(name)
    if known in TAKEN:
        return known
    plain = _SEPARATORS.sub(" ", name.casefold()).strip()
    joined = plain.replace(" ", "_")
    fitting = (meant for pattern, meant in _BY_WORDS if re.search(pattern, plain) or re.search(pattern, joined))
    return next(fitting, known if known in KNOWN else "")
