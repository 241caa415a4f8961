"""How prices are written: with the signs of a language, and the currency where it is known."""

from __future__ import annotations

import re
from typing import Final

_LANGUAGE: Final = re.compile(r"\s*([A-Za-z]{2,3})(-[A-Za-z0-9]{2,8}){0,3}\s*(;|$)")
_SPACE: Final = "\u00a0"
_THIN: Final = "\u202f"
_SIGNS: Final = {
    **dict.fromkeys(("de", "es", "it", "nl", "pt", "da", "tr", "id", "el", "ro", "hr", "sl"), (".", ",")),
    **dict.fromkeys(("sv", "nb", "no", "fi", "pl", "cs", "sk", "hu", "uk", "ru", "bg"), (_SPACE, ",")),
    "fr": (_THIN, ","),
}
"""By language: what stands between thousands, and before the fraction; of others as in English."""
_CURRENCIES: Final = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "INR": "₹"}


def first_language(accepted: str) -> str:
    """The language that a browser asks for first, from its `Accept-Language`; "en" where it asks for none.

    >>> first_language("de-AT,de;q=0.9,en;q=0.8"), first_language("*"), first_language("")
    ('de', 'en', 'en')
    """
    found = _LANGUAGE.match(accepted.partition(",")[0])
    return found[1].lower() if found else "en"


def money(price: float | None, *, currency: str = "EUR", locale: str = "en") -> str:
    """A price as pages show it; "" where there is none. A `currency` that is not known is "".

    >>> money(1249.0), money(149.95), money(None), money(9.5, currency="")
    ('€1,249', '€149.95', '', '9.50')
    >>> money(1279.1, currency="EUR", locale="de").replace(_SPACE, " "), money(279.15, currency="", locale="de")
    ('1.279,10 €', '279,15')
    """
    if price is None:
        return ""
    thousands, fraction = _SIGNS.get(locale, (",", "."))
    written = f"{price:,.0f}" if price == int(price) else f"{price:,.2f}"
    written = written.translate({ord(","): thousands, ord("."): fraction})
    sign = _CURRENCIES.get(currency, currency)
    if not sign:
        return written
    if locale in _SIGNS:
        return f"{written}{_SPACE}{sign}"
    return f"{sign}{written}" if currency in _CURRENCIES else f"{sign}{_SPACE}{written}"
