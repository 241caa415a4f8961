"""What the fields of an item mean, and how they are read before an item is written to the log.

`FieldReader` turns what shops and feeds send ("19,90 EUR", "InStock", "2026-03-01 10:00 +0100") into canonical fields,
and says of each value that has no effect why not. `meaning_of` says what canonical fields mean: the fold stands on it.
docs/decisions/0034-fields-are-read-before-they-are-written.md has the reasons.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import nan
from typing import Any, Final, NamedTuple

from ..foundation.errors import EventRejected
from ..foundation.limits import ATTRIBUTE_VALUES_MAX, FIELDS_TYPED_MAX
from .nothing import names_no_group
from .numbers import (
    AMBIGUOUS,
    AMOUNT_MAX,
    EMPTY,
    FAULTS,
    SHARED_SIGNS,
    NumberRead,
    currencies_agree,
    currency_of,
    read_number,
)
from .shown import HIDING, signs_of, stock_said_beside
from .times import parse_time_ms, time_text
from .vectors import VECTOR, VectorRefused, is_meant, length_of, pack_vector

PRICE: Final = "price"
CATEGORY: Final = "category"
BRAND: Final = "brand"
TAGS: Final = "tags"
SALE_PRICE: Final = "sale_price"
SALE_PERIOD: Final = "sale_price_effective_date"
CURRENCY: Final = "currency"
STOCK: Final = "stock"
AVAILABILITY: Final = "availability"
SHOWN_FROM: Final = "availability_date"
SHOWN_UNTIL: Final = "expiration_date"
CREATED: Final = "created_at"
GROUP: Final = "item_group_id"

IN_STOCK: Final = "in_stock"
OUT_OF_STOCK: Final = "out_of_stock"
DISCONTINUED: Final = "discontinued"
PREORDER: Final = "preorder"
BACKORDER: Final = "backorder"
ORDERED_AHEAD: Final = frozenset({PREORDER, BACKORDER})
"""It can be bought although there is none: neither its stock nor the date of its delivery hides it."""
NOT_AVAILABLE: Final = frozenset({OUT_OF_STOCK, DISCONTINUED})

_WORDS: Final = {
    IN_STOCK: "in stock|instock|available|available for order|in store only|instoreonly|online only|onlineonly|"
              "limited availability|limitedavailability|low stock|limited|limited stock|made to order|madetoorder|true|"
              "yes|y|on|1|active|auf lager|lieferbar|sofort lieferbar|verfügbar|vorrätig|en stock|disponible|"
              "disponibile|op voorraad|leverbaar|ja|wahr|aktiv|oui|actif|sí|si|sì|activo|attivo|actief|sim",
    OUT_OF_STOCK: "out of stock|outofstock|oos|unavailable|not available|sold out|soldout|temporarily unavailable|"
                  "temporarily out of stock|reserved|false|no|n|off|0|none|inactive|nicht auf lager|nicht lieferbar|"
                  "nicht verfügbar|nicht vorrätig|vergriffen|ausverkauft|épuisé|rupture de stock|agotado|sin stock|"
                  "esaurito|niet op voorraad|uitverkocht|niet leverbaar|nein|falsch|inaktiv|non|nee|inactif|inactivo|"
                  "indisponible|non disponible|no disponible|non disponibile|inattivo|inactief|não",
    DISCONTINUED: "discontinued|archived|deleted|end of life|eol",
    PREORDER: "preorder|pre order|presale|pre sale|available for preorder|vorbestellbar",
    BACKORDER: "backorder|back order|backordered|back ordered|onbackorder|on backorder|available on backorder|"
               "available for backorder",
}  # fmt: skip
_SAYS: Final = {word: said for said, words in _WORDS.items() for word in words.split("|")}

CALLED: Final[Mapping[str, tuple[str, ...]]] = {
    "title": ("title", "name", "producttitle", "productname", "itemname", "itemtitle", "headline", "bezeichnung",
              "titel", "artikelname", "produktname", "titre", "nomproduit", "titulo", "título", "nombreproducto",
              "productnaam", "artikelnaam"),
    CATEGORY: ("category", "producttype", "googleproductcategory", "categories", "productcategory", "categoryname",
               "categorypath", "type", "section", "kategorie", "warengruppe", "produktgruppe", "rubrik", "ressort",
               "catégorie", "categorie", "categoria", "categoría", "rubrique"),
    BRAND: ("brand", "vendor", "manufacturer", "brandname", "make", "marke", "hersteller", "verlag", "marque", "marca",
            "merk"),
    PRICE: ("price", "regularprice", "listprice", "unitprice", "currentprice", "variantprice", "preis",
            "verkaufspreis", "bruttopreis", "preisbrutto", "vkbrutto", "vkpreis", "endpreis", "einzelpreis", "prijs",
            "verkoopprijs", "prix", "prixttc", "prixvente", "prixdevente", "precio", "precioventa",
            "preciodeventa", "pvp"),
}  # fmt: skip
"""How columns of feeds are called that may be fields of ours, the first that there is counts."""
_MANY_THINGS: Final = frozenset({"type", "section", "make"})
"""Of these nothing is said where they stand in an item that somebody wrote for us."""

FIELDS_MEANT: Final = {
    **{called: meant for meant in (CATEGORY, BRAND, PRICE) for called in CALLED[meant] if called not in _MANY_THINGS},
    "stock": STOCK, "availability": AVAILABILITY, "price": PRICE, "currency": CURRENCY,
    **dict.fromkeys(("inventory", "quantity", "inventoryquantity", "qty", "stockquantity", "stocklevel",
                     "availablequantity", "variantinventoryqty", "bestand", "lagerbestand", "lagermenge",
                     "verfügbaremenge", "voorraad", "existencias", "giacenza"), STOCK),
    **dict.fromkeys(("available", "instock", "isavailable", "isinstock", "stockstatus", "availabilitystatus",
                     "verfügbarkeit", "verfuegbarkeit", "verfügbar", "verfuegbar", "lieferbar", "lieferbarkeit",
                     "lieferstatus", "vorrätig", "disponible", "disponibilité", "disponibilidad", "disponibile",
                     "disponibilità", "beschikbaar", "beschikbaarheid", "leverbaar"),
                    AVAILABILITY),
    **dict.fromkeys(("itemgroup", "itemgroupid", "groupid", "parentid", "parentsku", "productgroupid"), GROUP),
    **dict.fromkeys(("availabilitydate", "availablefrom", "publishat", "showfrom", "validfrom", "startdate"),
                    SHOWN_FROM),
    **dict.fromkeys(("expirationdate", "expires", "expiresat", "expiry", "expirydate", "availableuntil", "validuntil",
                     "validto", "enddate", "unpublishat"), SHOWN_UNTIL),
    **dict.fromkeys(("saleprice", "specialprice", "offerprice", "discountprice", "discountedprice"), SALE_PRICE),
    **dict.fromkeys(("salepriceeffectivedate", "saleperiod", "specialpricedates"), SALE_PERIOD),
    **dict.fromkeys(("createdat", "created", "createdon", "dateadded", "dateonline"), CREATED),
    **dict.fromkeys(("currencycode", "pricecurrency", "currencyid"), CURRENCY),
}  # fmt: skip
"""How others call what has an effect here, in small letters and digits alone."""

ALWAYS_MS: Final = 2**62
"""An end that never comes."""


class Meaning(NamedTuple):
    """What canonical fields say beside their numbers and texts."""

    from_ms: int = 0
    """Shown from here on; 0: from the beginning."""
    until_ms: int = 0
    """Not shown from here on; 0: there is no end."""
    group: str = ""
    sale_price: float = 0.0
    sale_from_ms: int = 0
    """While from <= time < until it costs `sale_price`; 0, 0: it is in no sale."""
    sale_until_ms: int = 0


def meaning_of(fields: Mapping[str, Any]) -> Meaning:
    """What canonical fields say; whatever else stands in them says nothing, so this never raises."""
    ordered = _said(fields) in ORDERED_AHEAD
    group = fields.get(GROUP)
    sale_from_ms, sale_until_ms = _sale_ms(fields)
    return Meaning(
        0 if ordered else _time_ms(fields.get(SHOWN_FROM)),
        _time_ms(fields.get(SHOWN_UNTIL)),
        group if isinstance(group, str) else "",
        float(fields[SALE_PRICE]) if sale_until_ms else 0.0,
        sale_from_ms,
        sale_until_ms,
    )


def is_available(fields: Mapping[str, Any]) -> bool:
    """Whether canonical fields say that it can be bought now: by its stock, and by its availability.

    >>> is_available({"stock": 0}), is_available({"stock": 0, "availability": "preorder"}), is_available({})
    (False, True, True)
    """
    said = _said(fields)
    if said in ORDERED_AHEAD:
        return True
    if said in NOT_AVAILABLE:
        return False
    stock = fields.get(STOCK)
    return not isinstance(stock, int | float) or stock > 0


def _said(fields: Mapping[str, Any]) -> str:
    said = fields.get(AVAILABILITY)
    return said if isinstance(said, str) else ""


def _sale_ms(fields: Mapping[str, Any]) -> tuple[int, int]:
    """From when until when the sale price holds; 0, 0 where there is none, or none that is lower."""
    sale_price, price = _number(fields.get(SALE_PRICE)), _number(fields.get(PRICE))
    if not sale_price > 0.0 or sale_price >= price:
        return 0, 0
    period = fields.get(SALE_PERIOD)
    if not isinstance(period, str):
        return 0, ALWAYS_MS
    begin, parted, end = period.partition("/")
    begin_ms, end_ms = _time_ms(begin), _time_ms(end)
    if not parted or (begin and not begin_ms) or (end and not end_ms):
        return 0, 0
    return begin_ms, end_ms or ALWAYS_MS


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else nan


def _time_ms(value: object) -> int:
    if not isinstance(value, str) or not value:
        return 0
    try:
        return max(parse_time_ms(value, ""), 0)
    except EventRejected:
        return 0


# Reading what is sent.

NO_TIME: Final = (
    'is no time that is known: send ISO 8601 such as "2026-03-01T10:00:00Z" or "2026-03-01", or seconds since 1970'
)
_WITHOUT_IT: Final = "the item counts as one without it"
_ZERO_DATE: Final = "0000-00-00"
_DAY_MS: Final = 86_400_000
_LAST_MS: Final = 253_402_300_799_000
"""The last second of the year 9999."""
_SECONDS_MAX, _MS_MAX, _US_MAX = 10**11, 10**14, 10**17
_NUMBER_OF_TIME: Final = re.compile(r"[0-9]{9,19}(\.[0-9]{1,9})?")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SLASHED: Final = re.compile(r"([0-9]{4})/([0-9]{1,2})/([0-9]{1,2})(?![0-9])")
_DOTTED: Final = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})(?![0-9])")
_ZONE_APART: Final = re.compile(r"(?<=[0-9]) +(?=[+-][0-9]{2}:?[0-9]{2}$)")
_ZONE_BY_NAME: Final = re.compile(r" *(UTC|GMT|Z)$", re.IGNORECASE)
_GROUPED: Final = re.compile(r"-?[0-9]{1,3}([ .,'])[0-9]{3}(\1[0-9]{3})*")
_AT_LEAST: Final = re.compile(r"[>]?\s*([0-9]{1,9})\s*\+?")
_PERIOD: Final = re.compile(r"\s*/\s*|\s+(?:-|–|to|bis)\s+")
_TEXT_CHARS_MAX: Final = 64
_SIMPLE_KINDS: Final = {str: "text", int: "a number", float: "a number", bool: "true or false", type(None): ""}
_NAMED_BY: Final = ("name", "title", "label", "value", "node", "nodes", "edges", "slug")
_PUBLISHED: Final = "published"
"""Whether, or when."""
_NAMES_DEPTH: Final = 6
_NOBODY: Final = frozenset[str]()
_NOTHING: Final[Mapping[str, Any]] = {}


class ItemRefused(Exception):
    """The fields cannot be an item's, because one says what cannot be, such as a price below 0: which one, and why."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field} {message}")
        self.field = field
        self.message = f"{field} {message}"


class Remark(NamedTuple):
    """A value that is taken and has less effect than meant."""

    field: str
    code: str
    """`unreadable`, `other_currency`, `other_kind`, `unheard` or `without_effect`."""
    message: str


class FieldTypes:
    """What the fields of a tenant's items are, by the first value of each; and the currency of its prices."""

    def __init__(self) -> None:
        self.currency = ""
        self.kinds: dict[str, str] = {}
        self.vector_length = 0
        """Of the vectors that there are, 0 where there are none."""

    def learn(self, fields: Mapping[str, Any]) -> None:
        """Take notice of an item's canonical fields; what is known already stays."""
        kinds = self.kinds
        for name, value in fields.items():
            if name not in kinds and len(kinds) < FIELDS_TYPED_MAX:
                kind = _kind(value)
                if kind:
                    kinds[name] = kind
        if not self.vector_length and VECTOR in fields:
            self.vector_length = length_of(fields)
        if CURRENCY in fields and (not self.currency or self.currency in SHARED_SIGNS):
            self._learn_currency(fields)

    def copy(self) -> FieldTypes:
        """The same, to learn from items that are not written yet."""
        other = FieldTypes()
        other.currency, other.kinds = self.currency, dict(self.kinds)
        other.vector_length = self.vector_length
        return other

    def _learn_currency(self, fields: Mapping[str, Any]) -> None:
        """The first one stands, of an item whose price counts; a code says more than a sign that it shares."""
        currency, price = fields[CURRENCY], _number(fields.get(PRICE))
        if isinstance(currency, str) and price == price:
            found = currency_of(currency)
            if found and currencies_agree(found, self.currency):
                self.currency = found


class FieldReader:
    """Reads the fields of a tenant's items, one after the other."""

    def __init__(
        self, types: FieldTypes, *, numbers: Collection[str] = (PRICE,), texts: Collection[str] = (), currency: str = ""
    ) -> None:
        """`numbers` and `texts` are the fields that features read as such; `currency` is what prices are in, where it
        is set."""
        self._types = types
        self._texts = frozenset(texts) | {CATEGORY, BRAND, TAGS}
        self._numbers = frozenset(numbers) - {PRICE, SALE_PRICE, STOCK}
        self._currency = currency
        self._heard = self._numbers | self._texts
        self._letters: dict[str, str] = {}
        """Names of fields, and what follows from them."""
        self._meant: dict[str, str] = {}
        self._hiding: set[str] = set()
        self.remarks: list[Remark] = []
        """About the fields that were read last."""

    def read(self, sent: Mapping[str, Any], known: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The canonical form of fields as they were sent; raises `ItemRefused`. `known`: the item that they change.

        Afterwards `remarks` has what was taken without the effect that it may have been meant to have.
        """
        self.remarks = []
        fields = dict(sent)
        known = known or _NOTHING
        if STOCK in fields:
            self._read_stock(fields, known)
        if AVAILABILITY in fields:
            self._read_availability(fields)
        self._read_signs(fields, known)
        if PRICE in fields or SALE_PRICE in fields or CURRENCY in fields:
            self._read_prices(fields, known)
        self._read_times(fields)
        self._read_group(fields)
        if VECTOR in fields:
            self._read_vector(fields)
        for name in self._texts & fields.keys():
            if isinstance(fields[name], dict | list):
                self._read_names(fields, name)
        for name in self._numbers & fields.keys():
            self._read_number(fields, name)
        self._compare_kinds(fields)
        self._types.learn(fields)
        return fields

    def _remark(self, field: str, code: str, message: str) -> None:
        self.remarks.append(Remark(field, code, f"{field} {message}"))

    def _lose(self, fields: dict[str, Any], name: str, message: str) -> None:
        """Leave out a field of which nobody can tell what it says."""
        del fields[name]
        self._remark(name, "unreadable", f"{message}; {_WITHOUT_IT}")

    def _read_stock(self, fields: dict[str, Any], known: Mapping[str, Any]) -> None:
        stock = fields[STOCK]
        if stock is not None and type(stock) is not int:
            stock = self._stock(fields, stock)
        if stock and stock > 0 and AVAILABILITY not in fields and _said(known) in NOT_AVAILABLE:
            self._remark(STOCK, "without_effect", f"is above 0, and the item's availability is {_said(known)}, so it "
                         'stays out: send "availability": "in_stock" with it')  # fmt: skip

    def _stock(self, fields: dict[str, Any], stock: Any) -> float | None:
        """Puts the number that is meant, or None where it only says that there is some."""
        said = _word(stock) if isinstance(stock, str | bool) else ""
        if said and not (isinstance(stock, str) and stock.strip().isdigit()):
            fields[STOCK] = 0 if said in NOT_AVAILABLE else None
            if said in ORDERED_AHEAD and fields.get(AVAILABILITY) is None:
                fields[AVAILABILITY] = said
            return None
        read = _pieces(stock)
        if read.fault == EMPTY:
            fields[STOCK] = None
            return None
        if read.fault and isinstance(stock, str) and (least := _AT_LEAST.fullmatch(stock.strip())):
            read = NumberRead(float(least[1]))
        if read.fault:
            self._lose(fields, STOCK, FAULTS[read.fault])
            return None
        fields[STOCK] = _plain(read.number)
        return read.number

    def _read_availability(self, fields: dict[str, Any]) -> None:
        sent = fields[AVAILABILITY]
        if sent is None:
            return
        said = _word(sent)
        if said:
            fields[AVAILABILITY] = said
        elif isinstance(sent, str) and not sent.strip():
            fields[AVAILABILITY] = None
        else:
            words = "in_stock, out_of_stock, preorder, backorder or discontinued"
            self._remark(AVAILABILITY, "unreadable", f"is not known, so the item counts as available: send {words}")

    def _read_signs(self, fields: dict[str, Any], known: Mapping[str, Any]) -> None:
        """Whether it is shown at all, as fields such as `active` say; with what the item says besides."""
        self._learn_names(fields)
        if not self._hiding.isdisjoint(fields):
            for sign in signs_of(fields, self._letters):
                dated = self._letters[sign.field] == _PUBLISHED and _is_time(fields[sign.field])
                if sign.shown is None and not dated:
                    self._remark(sign.field, "without_effect", "does not say whether the item is shown, so has no "
                                 'effect: send "availability": "discontinued" for what is not')  # fmt: skip
            whole = {**known, **fields}
            if self._hides(whole):
                if _said(whole) not in NOT_AVAILABLE:
                    fields[AVAILABILITY] = DISCONTINUED
            elif AVAILABILITY not in fields and _said(known) == DISCONTINUED and self._hides(known):
                fields[AVAILABILITY] = None
        if AVAILABILITY not in fields and stock_said_beside(fields) is False:
            fields[AVAILABILITY] = OUT_OF_STOCK

    def _hides(self, fields: Mapping[str, Any]) -> bool:
        self._learn_names(fields)
        return any(sign.shown is False for sign in signs_of(fields, self._letters))

    def _learn_names(self, fields: Mapping[str, Any]) -> None:
        """Take notice of names: items of a feed have the same ones, and what they mean is found once."""
        for name in fields.keys() - self._letters.keys():
            plain = self._letters[name] = _letters(name)
            meant = FIELDS_MEANT.get(plain, "")
            self._meant[name] = meant if meant != name and name not in self._heard else ""
            if plain in HIDING:
                self._hiding.add(name)

    def _read_names(self, fields: dict[str, Any], name: str) -> None:
        """Texts of what is a map or a list of maps, such as a category with its id."""
        value = fields[name]
        if isinstance(value, list) and not any(isinstance(part, dict | list) for part in value):
            return
        names = names_in(value)
        if names:
            fields[name] = names[0] if len(names) == 1 else names
        elif value:
            self._lose(fields, name, "is a map without a name: send a text, or a list of texts")
        else:
            fields[name] = None

    def _read_prices(self, fields: dict[str, Any], known: Mapping[str, Any]) -> None:
        read = {name: self._amount(fields, name) for name in (PRICE, SALE_PRICE) if name in fields}
        said = {one.currency for one in read.values() if one.currency}
        named = fields.get(CURRENCY)
        if isinstance(named, str) and named.strip():
            code = currency_of(named)
            if code:
                fields[CURRENCY] = code
                said.add(code)
            else:
                self._remark(CURRENCY, "unreadable", 'is not known: send an ISO 4217 code such as "EUR"')
        elif not said and CURRENCY not in fields and isinstance(known.get(CURRENCY), str):
            said.add(known[CURRENCY])
        expected = self._currency or self._types.currency
        foreign = sorted(one for one in said if not currencies_agree(one, expected))
        if not foreign and len(said) > 1 and not all(currencies_agree(one, other) for one in said for other in said):
            foreign = sorted(said)
        if foreign:  # What the item costs so far is in that currency from now on.
            read.update({
                name: NumberRead(_number(known.get(name))) for name in (PRICE, SALE_PRICE) if name not in read
            })
        for name, one in read.items():
            if one.number != one.number:
                continue
            if foreign:
                fields[name] = f"{_plain(one.number)} {one.currency or foreign[0]}"
            else:
                fields[name] = _plain(one.number)
        if foreign:
            what = " and ".join(foreign)
            remedy = "send prices in one currency, or set [catalogue] currency and send all items anew"
            if expected:
                self._remark(PRICE, "other_currency", f"is in {what} and the catalogue's are in {expected}: "
                             f"it is kept as text and counts as no number; {remedy}")  # fmt: skip
            else:
                self._remark(PRICE, "other_currency", f"and its currency differ ({what}): it is kept as text and "
                             f"counts as no number; {remedy}")  # fmt: skip
        elif said:
            fields[CURRENCY] = min(said, key=lambda one: (one in SHARED_SIGNS, one))
        self._check_sale(fields, known)

    def _amount(self, fields: dict[str, Any], name: str) -> NumberRead:
        """The price in a field. Unreadable text stays, and is no number to anybody."""
        value = fields[name]
        if value is None:
            return NumberRead(nan)
        read = read_number(value)
        if read.fault == EMPTY:
            fields[name] = None
        elif read.fault:
            if isinstance(value, str):
                self._remark(name, "unreadable", f"{FAULTS[read.fault]}; {_WITHOUT_IT}")
            else:
                self._lose(fields, name, FAULTS[read.fault])
        elif read.number < 0:
            raise ItemRefused(name, "is below 0: send what the item costs")
        elif read.number > AMOUNT_MAX:
            raise ItemRefused(name, "is beyond any price: send what the item costs")
        return read

    def _check_sale(self, fields: dict[str, Any], known: Mapping[str, Any]) -> None:
        sale, price = _number(fields.get(SALE_PRICE)), _number(fields.get(PRICE, known.get(PRICE)))
        if sale == 0.0:
            fields[SALE_PRICE] = None
        elif sale > price:
            self._remark(SALE_PRICE, "without_effect", "is above price, so it does not count")

    def _read_times(self, fields: dict[str, Any]) -> None:
        for name in (SHOWN_FROM, SHOWN_UNTIL, CREATED):
            value = fields.get(name)
            if value is None:
                continue
            try:
                at_ms = read_time_ms(value, whole_day=name == SHOWN_UNTIL)
            except ValueError:
                if name != CREATED:
                    self._lose(fields, name, NO_TIME)
                else:
                    self._remark(name, "unreadable", f"{NO_TIME}; the item counts as new from its first day here")
                continue
            fields[name] = time_text(min(at_ms, _LAST_MS)) if at_ms else None
        if isinstance(period := fields.get(SALE_PERIOD), str | list):
            self._read_period(fields, period)

    def _read_period(self, fields: dict[str, Any], sent: str | list[Any]) -> None:
        parts = sent if isinstance(sent, list) else _PERIOD.split(sent.strip())
        try:
            if len(parts) != 2 or not any(parts):
                raise ValueError
            begin_ms, end_ms = (read_time_ms(part, whole_day=bool(at)) for at, part in enumerate(parts))
            if end_ms and end_ms <= begin_ms:
                self._remark(SALE_PERIOD, "without_effect", "ends before it begins, so the sale price does not count")
            fields[SALE_PERIOD] = "/".join(
                time_text(min(at_ms, _LAST_MS)) if at_ms else "" for at_ms in (begin_ms, end_ms)
            )
        except ValueError:
            if isinstance(sent, str) and not sent.strip():
                fields[SALE_PERIOD] = None
                return
            fields[SALE_PERIOD] = sent if isinstance(sent, str) else str(sent)[:_TEXT_CHARS_MAX]
            self._remark(SALE_PERIOD, "unreadable", 'is no period such as "2026-03-01T10:00Z/2026-03-31", so the sale '
                         "price does not count")  # fmt: skip

    def _read_group(self, fields: dict[str, Any]) -> None:
        if GROUP not in fields:
            return
        group = fields[GROUP]
        if names_no_group(group):
            fields[GROUP] = None
        elif isinstance(group, float) and group.is_integer():
            fields[GROUP] = str(int(group))
        elif isinstance(group, int) and not isinstance(group, bool):
            fields[GROUP] = str(group)
        elif not isinstance(group, str):
            self._remark(GROUP, "unreadable", f"is {_kind(group)}: the id of a group is text or a whole number")

    def _read_vector(self, fields: dict[str, Any]) -> None:
        """What is meant for one is one, or the item is refused; another thing of that name stays as it is."""
        sent = fields[VECTOR]
        if sent is None:
            return
        if not is_meant(sent):
            self._remark(VECTOR, "without_effect", f"is {_kind(sent)}: as a list of numbers it would say what is alike")
            return
        try:
            fields[VECTOR] = pack_vector(sent, length=self._types.vector_length)
        except VectorRefused as refused:
            raise ItemRefused(VECTOR, str(refused)) from None

    def _read_number(self, fields: dict[str, Any], name: str) -> None:
        """A number that features read; what cannot be read stays as it is and is none."""
        value = fields[name]
        if not isinstance(value, str):
            return
        read = read_number(value)
        if not read.fault and not read.currency:
            fields[name] = _plain(read.number)
        elif read.fault != EMPTY:
            what = FAULTS.get(read.fault) or "has a unit"
            self._remark(name, "unreadable", f"{what}; features count the item as one without it")

    def _compare_kinds(self, fields: Mapping[str, Any]) -> None:
        kinds, meanings = self._types.kinds, self._meant
        remarked = {remark.field for remark in self.remarks} if self.remarks else _NOBODY
        for name, value in fields.items():
            meant = meanings.get(name)
            if meant and meant not in fields:
                self._remark(name, "unheard", f'has no effect; the field that has one is called "{meant}"')
            known = kinds.get(name)
            if known is not None and name not in remarked and (kind := _kind(value)) and kind != known:
                self._remark(name, "other_kind", f"is {kind} here and {known} in the items before: it is kept, and "
                             f"who reads {known} does not see it")  # fmt: skip


def names_in(value: object, *, depth: int = 0) -> list[str]:
    """The names in a text, a map or a list of them, as shops' interfaces write categories, brands and tags.

    >>> names_in([{"id": 9, "name": "Clothing"}, {"id": 10, "name": "Shirts"}]), names_in({"title": "Own"})
    (['Clothing', 'Shirts'], ['Own'])
    >>> names_in({"edges": [{"node": {"name": "Sale"}}]}), names_in([{"id": 9}])
    (['Sale'], [])
    """
    if isinstance(value, str):
        return [value] if value.strip() else []
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [str(value)]
    if depth == _NAMES_DEPTH:
        return []
    if isinstance(value, list):
        return [name for part in value for name in names_in(part, depth=depth + 1)]
    if isinstance(value, dict):
        within = (value[key] for key in _NAMED_BY if value.get(key) not in (None, "", [], {}))
        return next((names for part in within if (names := names_in(part, depth=depth + 1))), [])
    return []


def candidate_fields(sent: Mapping[str, Any], numbers: Collection[str]) -> dict[str, Any]:
    """Fields that came with a candidate of a request, its numbers and its stock read as those of an item are.

    What cannot be read stays as it is, and is no number. Availability counts as a stock of 0 or 1 where none is said.

    >>> candidate_fields({"price": "19,90 EUR", "title": "5", "stock": "sold out"}, {"price"})
    {'price': 19.9, 'title': '5', 'stock': 0}
    >>> candidate_fields({"availability": "https://schema.org/OutOfStock", "price": "on request"}, {"price"})
    {'availability': 'https://schema.org/OutOfStock', 'price': 'on request', 'stock': 0}
    """
    fields = dict(sent)
    for name, value in sent.items():
        if isinstance(value, str) and (name in numbers or name == STOCK):
            read = _pieces(value) if name == STOCK else read_number(value)
            if not read.fault:
                fields[name] = _plain(read.number)
            elif name == STOCK and (said := _word(value)):
                fields[STOCK] = int(said not in NOT_AVAILABLE)
    if fields.get(STOCK) is None and (said := _word(fields.get(AVAILABILITY))):
        fields[STOCK] = int(said not in NOT_AVAILABLE)
    return fields


def read_time_ms(value: object, *, whole_day: bool = False) -> int:
    """Milliseconds since 1970 of a time in any usual form, 0 for an empty one; `ValueError` for what is none.

    Numbers are seconds, milliseconds or microseconds since 1970 by their size. Without a zone it is UTC. With
    `whole_day` a date alone is the end of that day.

    >>> read_time_ms("2026-03-01T10:00+0100") == read_time_ms(1_772_355_600) == read_time_ms("1772355600000")
    True
    >>> read_time_ms("Sun, 01 Mar 2026 10:00:00 +0100") == read_time_ms("01.03.2026 09:00")
    True
    >>> read_time_ms("2026-03-01", whole_day=True) - read_time_ms("2026-03-01")
    86400000
    """
    if isinstance(value, str):
        text = value.strip()
        if not text or text.startswith(_ZERO_DATE):
            return 0
        if len(text) > _TEXT_CHARS_MAX:
            raise ValueError("too long")
        if not _NUMBER_OF_TIME.fullmatch(text):
            return _of_text(text) + (_DAY_MS if whole_day and _is_date(text) else 0)
        value = float(text) if "." in text else int(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("no time")
    return _of_number(value)


def _of_number(number: float) -> int:
    if not 0 <= number < 10**20:
        raise ValueError("not a time")
    if number < _SECONDS_MAX:
        return int(number * 1_000)
    return int(number) // (1 if number < _MS_MAX else 1_000 if number < _US_MAX else 1_000_000)


def _is_date(text: str) -> bool:
    return any(shape.fullmatch(text) for shape in (_DATE, _SLASHED, _DOTTED))


def _of_text(text: str) -> int:
    """Milliseconds of a time in words and digits."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = _otherwise(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return max(int(moment.timestamp() * 1_000), 0)
    except OverflowError:
        raise ValueError("no time") from None


def _otherwise(text: str) -> datetime:
    """A moment in a usual spelling that is not ISO 8601."""
    plain = _SLASHED.sub(lambda found: f"{found[1]}-{found[2]:0>2}-{found[3]:0>2}", text, count=1)
    plain = _DOTTED.sub(lambda found: f"{found[3]}-{found[2]:0>2}-{found[1]:0>2}", plain, count=1)
    plain = _ZONE_APART.sub("", _ZONE_BY_NAME.sub("+00:00", plain) if _DATE.match(plain) else plain)
    try:
        return datetime.fromisoformat(plain)
    except ValueError:
        try:
            return parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError):
            raise ValueError("no time") from None


def _pieces(sent: object) -> NumberRead:
    """A number of pieces: whole, so that what might be decimals of a price are thousands here.

    >>> _pieces("1.250").number, _pieces("12,000").number, _pieces("0.500").number, _pieces("1.25").number
    (1250.0, 12000.0, 0.5, 1.25)
    """
    read = read_number(sent)
    if read.fault == AMBIGUOUS and isinstance(sent, str) and (grouped := _GROUPED.fullmatch(sent.strip())):
        return NumberRead(float(grouped[0].replace(grouped[1], "")))
    return read


def _word(sent: object) -> str:
    """What a value says of availability, "" if nothing that is known."""
    if isinstance(sent, bool):
        return IN_STOCK if sent else OUT_OF_STOCK
    if isinstance(sent, int | float):
        return IN_STOCK if sent > 0 else OUT_OF_STOCK
    if not isinstance(sent, str) or len(sent) > _TEXT_CHARS_MAX:
        return ""
    word = sent.strip().casefold().rstrip("/")
    if "schema.org/" in word:
        word = word.rpartition("/")[2]
    return _SAYS.get(" ".join(re.split(r"[\s_-]+", word)), "")


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold().removeprefix("g:")))


def _is_time(value: object) -> bool:
    """Whether a value says when, as the `published` of an article does."""
    try:
        return bool(read_time_ms(value))
    except ValueError:
        return False


def _plain(number: float) -> int | float:
    """A number as it would be written by hand: 5, not 5.0."""
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _kind(value: object) -> str:
    """The kind of a value in words, "" for none. One text and a list of texts are one kind: features read both."""
    simple = _SIMPLE_KINDS.get(type(value))
    if simple is not None:
        return simple
    if isinstance(value, list):
        return "text" if all(isinstance(part, str) for part in value[:ATTRIBUTE_VALUES_MAX]) else "a list"
    return "a map"
