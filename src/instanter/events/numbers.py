"""Numbers as people and feeds write them: `19,90`, `1.299,00 €`, `USD 105.29`; or why a value is none.

One rule for events and for the catalogue. What can be read in one way only is read; where two readings lie a thousand
times apart nothing is guessed. docs/decisions/0030-numbers-from-text.md has the reasons.
"""

from __future__ import annotations

import re
from math import isfinite, nan
from typing import Final, NamedTuple

TEXT_CHARS_MAX: Final = 64
AMOUNT_MAX: Final = 1e15
"""Beyond it lies no price."""

KIND: Final = "kind"
EMPTY: Final = "empty"
NOT_FINITE: Final = "not_finite"
AMBIGUOUS: Final = "ambiguous"
NO_NUMBER: Final = "no_number"

FAULTS: Final = {
    KIND: "is neither a number nor text: send a number",
    EMPTY: "is empty",
    NOT_FINITE: "is not a finite number",
    AMBIGUOUS: 'may be decimals or thousands: send a number, or text with its decimals, such as "1299.00"',
    NO_NUMBER: 'is text that is no number: send a number, or text such as "19.99" or "19,99 EUR"',
}
"""What is said of a value, by the reason why it is no number."""


class NumberRead(NamedTuple):
    """A number that was read, or why none was."""

    number: float
    """NaN with a fault."""
    currency: str = ""
    """The ISO 4217 code that stands with it, or a sign that several currencies share (`SHARED_SIGNS`); "" for none."""
    fault: str = ""
    """One of `FAULTS`; "" for a number."""


def _codes(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


SHARED_SIGNS: Final = {
    "$": _codes("USD CAD AUD NZD SGD HKD TWD MXN CLP COP ARS UYU BSD BBD BMD BND BZD FJD GYD JMD KYD LRD NAD SBD "
                "SRD TTD XCD DOP NIO"),
    "£": _codes("GBP EGP FKP GIP LBP SDG SHP SSP SYP"),
    "¥": _codes("JPY CNY"),
    "KR": _codes("SEK NOK DKK ISK"),
    "RS": _codes("INR PKR LKR NPR MUR SCR"),
    "FR": _codes("CHF XAF XOF XPF"),
}  # fmt: skip
"""Signs that stand for any of these."""

_CODES: Final = _codes(
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP "
    "CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF "
    "IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD "
    "MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB "
    "RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD "
    "UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG HRK"
)
_SIGNS: Final = {
    "€": "EUR", "EURO": "EUR", "EUROS": "EUR", "US$": "USD", "$US": "USD", "CA$": "CAD", "C$": "CAD", "A$": "AUD",
    "AU$": "AUD", "NZ$": "NZD", "HK$": "HKD", "S$": "SGD", "NT$": "TWD", "MX$": "MXN", "R$": "BRL", "₹": "INR",
    "₩": "KRW", "₺": "TRY", "TL": "TRY", "₽": "RUB", "РУБ": "RUB", "РУБ.": "RUB", "₴": "UAH", "ГРН": "UAH",
    "ГРН.": "UAH", "₪": "ILS", "฿": "THB", "₫": "VND", "Đ": "VND", "₱": "PHP", "₦": "NGN", "ZŁ": "PLN", "KČ": "CZK",
    "FT": "HUF", "LEI": "RON", "ЛВ": "BGN", "ЛВ.": "BGN", "RP": "IDR", "RP.": "IDR", "RM": "MYR", "₸": "KZT",
    "S/": "PEN", "S/.": "PEN", "円": "JPY", "元": "CNY", "￥": "¥", "＄": "$", "KR.": "KR", "RS.": "RS", "FR.": "FR",
    "SFR": "CHF", "SFR.": "CHF", "R": "ZAR", "KSH": "KES", "KSH.": "KES", "৳": "BDT", "ZL": "PLN",
    **{sign: sign for sign in SHARED_SIGNS},
}  # fmt: skip
_WHOLE_ONLY: Final = _codes("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF")
"""Currencies without decimals: three digits behind a separator are thousands."""
_POINT_DECIMALS: Final = _codes("USD GBP AUD NZD HKD SGD INR CNY TWD MXN ILS THB PHP MYR $ £ ¥")
"""Currencies whose amounts are written with a decimal point and two decimals: three digits behind a comma are
thousands."""

_SPACES: Final = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2019": "'", "\u2212": "-"})
_DIGITS: Final = re.compile("[0-9]+")
_FROM_FIRST_TO_LAST: Final = re.compile("[0-9].*[0-9]|[0-9]", re.DOTALL)
_EXPONENT: Final = re.compile(r"[0-9]+(\.[0-9]+)?[eE][+-]?[0-9]{1,3}")
_THOUSANDS: Final = re.compile("[0-9]{1,3}([ ',.])[0-9]{3}(\\1[0-9]{3})*")
_LAKHS: Final = re.compile("[0-9]{1,2}(,[0-9]{2})*,[0-9]{3}")
_NO_CENTS: Final = re.compile("[.,:][-–—]")


def read_number(value: object) -> NumberRead:
    """The number that a value says, with the currency that stands beside it.

    Numbers are themselves; true and false are none. In text a currency may stand before or behind. Spaces and
    apostrophes part thousands. A comma or a point is what the other figures make of it, and ambiguous where they leave
    it open.

    >>> read_number("19,90").number, read_number("1.299,00 €"), read_number("105.29 USD").currency
    (19.9, NumberRead(number=1299.0, currency='EUR', fault=''), 'USD')
    >>> read_number("1,299").fault, read_number("$1,299").number, read_number("1_000").fault, read_number(True).fault
    ('ambiguous', 1299.0, 'no_number', 'kind')
    """
    if isinstance(value, str):
        return _of_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NumberRead(nan, fault=KIND)
    try:
        number = float(value)
    except OverflowError:
        return NumberRead(nan, fault=NOT_FINITE)
    return NumberRead(number) if isfinite(number) else NumberRead(nan, fault=NOT_FINITE)


def currencies_agree(one: str, other: str) -> bool:
    """Whether two amounts may be of one currency; one that names none agrees with all.

    >>> currencies_agree("EUR", "USD"), currencies_agree("$", "CAD"), currencies_agree("", "EUR")
    (False, True, True)
    """
    if not one or not other or one == other:
        return True
    return other in SHARED_SIGNS.get(one, ()) or one in SHARED_SIGNS.get(other, ())


def currency_of(text: str) -> str:
    """The currency that a text names, as `NumberRead.currency` has it; "" if it names none that is known.

    >>> currency_of("eur"), currency_of("€"), currency_of("Kč"), currency_of("pcs")
    ('EUR', 'EUR', 'CZK', '')
    """
    name = text.strip().upper()
    return name if name in _CODES else _SIGNS.get(name, "")


_PLAIN: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,2})?")
_ENGLISH: Final = re.compile(r"[0-9]{1,3}(,[0-9]{3}){1,3}\.[0-9]{1,9}")


def _of_text(sent: str) -> NumberRead:
    """As `of_any_text`, which is its oracle; most numbers that are sent as text are of these forms."""
    if _PLAIN.fullmatch(sent):
        return NumberRead(float(sent))
    if _ENGLISH.fullmatch(sent):
        return NumberRead(float(sent.replace(",", "")))
    return of_any_text(sent)


def of_any_text(sent: str) -> NumberRead:
    """The number that a text says, whatever its form."""
    if len(sent) > TEXT_CHARS_MAX:
        return NumberRead(nan, fault=NO_NUMBER)
    text = (sent if sent.isascii() else sent.translate(_SPACES)).strip()
    if not text:
        return NumberRead(nan, fault=EMPTY)
    found = _FROM_FIRST_TO_LAST.search(text)
    if found is None:
        return NumberRead(nan, fault=NO_NUMBER)
    figures, before, behind = found[0], text[: found.start()].strip(), text[found.end() :]
    negative = before[:1] == "-" or before[-1:] == "-"
    before = _unsigned(before)
    if before[-1:] in (".", ",") and not currency_of(before):  # ".5", "$.99"
        figures, before = before[-1] + figures, before[:-1]
    if _NO_CENTS.match(behind):  # "19,-", "19:-"
        behind = behind[2:]
    currencies = [currency_of(part) for part in (before, behind) if part.strip()]
    if "" in currencies or (len(currencies) == 2 and not currencies_agree(*currencies)):
        return NumberRead(nan, fault=NO_NUMBER)
    # Of "$ 5 CAD" the code says more than the sign that others share.
    currency = min(currencies, key=lambda name: name in SHARED_SIGNS, default="")
    number, fault = _of_figures(figures, currency)
    return NumberRead(-number if negative else number, "" if fault else currency, fault)


def _unsigned(before: str) -> str:
    """What stands before the figures without the sign, which stands before or behind a currency."""
    if before[:1] in ("-", "+"):
        return before[1:].strip()
    return before[:-1].strip() if before[-1:] in ("-", "+") else before


def _of_figures(figures: str, currency: str) -> tuple[float, str]:
    """The number that figures and separators say, and the fault."""
    if _DIGITS.fullmatch(figures) or _EXPONENT.fullmatch(figures):
        number = float(figures)
        return (number, "") if isfinite(number) else (nan, NOT_FINITE)
    separators = set(figures) - set("0123456789")
    if not separators or not separators <= set(" ',.") or len(separators) > 2:
        return nan, NO_NUMBER
    last = max(separators, key=figures.rfind)
    if len(separators) == 1 and (last in " '" or figures.count(last) > 1):
        return _grouped(figures, last)
    whole, _, decimals = figures.rpartition(last)
    if last in " '" or not _DIGITS.fullmatch(decimals):
        return nan, NO_NUMBER
    if len(separators) == 2:
        number, fault = _grouped(whole, (separators - {last}).pop())
        return (float(f"{number:.0f}.{decimals}"), "") if not fault else (nan, fault)
    if whole and not _DIGITS.fullmatch(whole):
        return nan, NO_NUMBER
    if len(decimals) == 3 and 1 <= len(whole) <= 3 and whole[0] != "0":
        if currency in _WHOLE_ONLY or (last == "," and currency in _POINT_DECIMALS):
            return float(whole + decimals), ""
        return nan, AMBIGUOUS
    return float(f"{whole or '0'}.{decimals}"), ""


def _grouped(figures: str, separator: str) -> tuple[float, str]:
    """A whole number in groups of three digits, or as in India of two and at last three."""
    by_three = _THOUSANDS.fullmatch(figures)
    if (by_three and by_three[1] == separator) or (separator == "," and _LAKHS.fullmatch(figures)):
        return float(figures.replace(separator, "")), ""
    return nan, NO_NUMBER
