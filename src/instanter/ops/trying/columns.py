"""What the columns of an unknown file hold: guessed by their names and by their values, with the reason for each.

A name is believed where the values do not speak against it; where no name is known the values alone decide: which
column holds ids of the catalogue, which moments, which kinds of events, which comes again and again as a visitor does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

from ...events.items import CALLED, FIELDS_MEANT
from ...events.nothing import says_nothing
from ...events.numbers import read_number
from ...foundation.errors import RequestRejected
from ..event_rows import COLUMNS, is_moment
from ..feeds.columns import IDS, letters
from .kinds import kind_meant
from .rows import EACH, ITEMS, NAMELESS, VISIT, Sample

ITEM: Final = "item"
USER: Final = "user"
VISITOR: Final = "visitor"
SESSION: Final = "session"
TIME: Final = "time"
KIND: Final = "event"
PRICE: Final = "price"
QUANTITY: Final = "quantity"
ORDER: Final = "order"
RATING: Final = "rating"
PLACE: Final = "sequence"
YEAR: Final = "year"
MONTH: Final = "month"
DAY: Final = "day"
ROLES: Final = (ITEM, USER, VISITOR, SESSION, TIME, KIND, PRICE, QUANTITY, ORDER, RATING, PLACE, YEAR, MONTH, DAY)
ALSO_CALLED: Final = {
    "product_id": ITEM, "product": ITEM, "sku": ITEM, "userid": USER, "customer": USER, "anonymousid": VISITOR,
    "timestamp": TIME, "kind": KIND, "type": KIND, "order_id": ORDER, "orderid": ORDER, "productid": ITEM,
    "qty": QUANTITY,
}  # fmt: skip
"""What `--map` takes for a role beside its name: as `instanter import` calls them."""
NAMES: Final[Mapping[str, Collection[str]]] = {
    TIME: (*(one.replace("_", "") for one in COLUMNS["timestamp"]), "derivedtstamp", "collectortstamp", "clicktime",
           "clicktimestamp", "viewtime", "invoicedate", "orderdate", "purchasedate", "visittime", "unixtime",
           "starttime", "utc", "eventtimestampms", "tstamp", "dvcecreatedtstamp", "reviewtime", "unixreviewtime"),
    ITEM: (*(one for one in COLUMNS["product_id"]), "itemcode", "productcode", "stockcode", "asin", "articlecode",
           "clickarticleid", "newsid", "videoid", "trackid", "songid", "bookid", "gameid", "hotelid", "listingid",
           "propertyid", "offerid", "variantid", "productsku", "itemsku", "handle", "merchandiseid", "goodsid",
           "tiSku".casefold(), "materialnumber", "article", "film", "movie", "song", "content", "objectid", "entityid",
           "targetentityid", "clothingmodel", "reference", "produktnummer", "artnr", "docid", "aid", "iid", "pid",
           "id"),
    USER: (*COLUMNS["userId"], "uid", "clientnumber", "buyerid", "shopperid", "reviewerid", "accountnumber", "member",
           "person", "entity", "usernumber", "customerno", "userhash", "hasheduserid"),
    VISITOR: ("anonymousid", "visitorid", "userpseudoid", "clientid", "deviceid", "cookieid", "cookie", "fullvisitorid",
              "domainuserid", "visitor", "besucherid", "besucher", "networkuserid", "device", "browserid", "client",
              "fingerprint", "pseudoid"),
    SESSION: ("sessionid", "usersession", "session", "visitid", "visit", "sid", "gasessionid", "domainsessionid",
              "sitzung", "sessionkey", "sessionhash"),
    KIND: (*(one.replace("_", "") for one in COLUMNS["event"]), "actiontype", "interactiontype", "behaviortype",
           "behaviourtype", "feedback", "interaction", "vorgang", "eventaction", "activitytype", "clicktype"),
    PRICE: ("price", *COLUMNS["price"], *CALLED["price"], "amount", "value", "productprice", "saleprice"),
    QUANTITY: ("quantity", *COLUMNS["quantity"], "count", "units", "pieces", "stueck", "aantal", "quantité",
               "quantite", "cantidad"),
    ORDER: (*COLUMNS["order_id"], "invoiceno", "invoiceid", "invoice", "ordernumber", "orderno", "transaction",
            "receiptid", "basketid", "order", "bestellung", "rechnungsnummer", "purchaseid", "checkoutid"),
    RATING: ("rating", "stars", "score", "ratingvalue", "overall", "bewertung", "note"),
    PLACE: ("step", "sequence", "seq", "clicknumber", "eventindex", "hitnumber", "order", "ordinal", "clickorder",
            "position", "index", "eventnumber", "schritt"),
    YEAR: ("year", "jahr"), MONTH: ("month", "monat"), DAY: ("day", "dayofmonth", "tag"),
}  # fmt: skip
"""How columns are called, by small letters and digits alone, the most telling first."""
_OTHER_TIMES: Final = ("birth", "geburt", "releas", "deliver", "liefer", "expir", "valid", "until", "due", "publish",
                       "updat", "modif", "start", "end", "etl", "first")  # fmt: skip
SHARE_SURE: Final = 0.95
SHARE_HALF: Final = 0.5
JOINED_LEAST: Final = 0.2
_KINDS_MAX: Final = 200
_RATINGS_MAX: Final = 21
_FEW_ROWS: Final = 200
_ROWS_OF_ONE: Final = 0.03
"""Of the rows of a sample one visitor has at most such a share in the mean, where it has more than a few."""
_ID_CHARS_MAX: Final = 128
_VALUES_TRIED: Final = 300
_ROWS_PER_VISITOR: Final = 1.3
_FIELD_NAMES: Final = frozenset({*FIELDS_MEANT, *(one for called in CALLED.values() for one in called)})
"""What columns of a feed are called that hold something else than ids."""
_WHOLE: Final = re.compile(r"[+-]?[0-9]+(\.0+)?")
_ONE_ITEM: Final = re.compile(r"\S+")


class Column(NamedTuple):
    """A column of a sample, as far as guessing asks."""

    name: str
    values: list[Any]
    """Those that say something; of lists all elements."""
    distinct: int
    rows: int
    """Of the sample."""
    filled: int
    """Rows in which it says something."""

    @property
    def plain(self) -> str:
        """Its own name by letters, of a path the last part."""
        return letters(self.name.rpartition(".")[2])

    @property
    def share(self) -> float:
        """Rows in which it says something."""
        return self.filled / self.rows if self.rows else 0.0

    @property
    def repeats(self) -> float:
        """How often each of its values comes, in the mean."""
        return len(self.values) / self.distinct if self.distinct else 0.0

    def texts(self) -> list[str]:
        """Its first values as text."""
        return [text_of(value) for value in self.values[:_VALUES_TRIED]]


class Guess(NamedTuple):
    """A column that is taken for something, and why."""

    role: str
    column: str
    reason: str


class Guesses(NamedTuple):
    """What is taken for what, and what is left."""

    taken: list[Guess]
    left: dict[str, str]
    """Other columns, each with why it is not used."""

    def column(self, role: str) -> str:
        """The column of a role, "" for none."""
        return next((one.column for one in self.taken if one.role == role), "")


def text_of(value: Any) -> str:
    """A value as the text of an id: `12.0` of a number is `12`, and zeros in front stay.

    >>> text_of("007 "), text_of(12.0), text_of(5)
    ('007', '12', '5')
    """
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def columns_of(sample: Sample) -> list[Column]:
    """The columns of a sample."""
    found = []
    for name in sample.names:
        values: list[Any] = []
        filled = 0
        for row in sample.rows:
            value = row.get(name)
            parts = value if isinstance(value, list) else [value]
            said = [one for one in parts if one is not None and one != "" and not isinstance(one, dict | list)
                    and not (isinstance(one, str) and says_nothing(one))]  # fmt: skip
            filled += bool(said)
            values += said
        found.append(Column(name, values, len({text_of(one) for one in values}), len(sample.rows), filled))
    return found


def loosely(text: str) -> str:
    """An id without what tools add to it or take away: case, zeros in front, `.0` behind.

    >>> loosely("00AB"), loosely("7.0"), loosely("0")
    ('ab', '7', '0')
    """
    plain = text.strip().casefold().removesuffix(".0")
    return plain.lstrip("0") or plain


class Ids(NamedTuple):
    """The ids of a catalogue."""

    exact: Collection[str]
    loose: Collection[str]

    @classmethod
    def of(cls, ids: Iterable[str]) -> Ids:
        """Of these ids."""
        exact = frozenset(ids)
        return cls(exact, frozenset(map(loosely, exact)))

    def share(self, column: Column) -> float:
        """The share of a column's values that are ids of the catalogue."""
        if not column.values or not self.exact:
            return 0.0
        texts = map(text_of, column.values)
        return sum(one in self.exact or loosely(one) in self.loose for one in texts) / len(column.values)


def moments_share(column: Column) -> float:
    """The share of its values that are moments."""
    tried = column.values[:_VALUES_TRIED]
    return sum(is_moment(value) for value in tried) / len(tried) if tried else 0.0


def _early_share(column: Column) -> float:
    """The share of its values that are seconds since 1970, from 1973 on: enough where a name says that it is a time."""
    texts = column.texts()
    fit = sum(1e8 <= _number(one) < 2e9 for one in texts)
    return fit / len(texts) if texts else 0.0


def _is_timelike(column: Column) -> bool:
    """Whether its values are moments, whatever it is called; of a column without a name also those before 2001."""
    if moments_share(column) >= SHARE_SURE:
        return True
    return column.name.startswith(NAMELESS) and _early_share(column) == 1.0 and column.distinct > 0.3 * column.rows


def kinds_share(column: Column) -> float:
    """The share of its values that are kinds of events, of a column with few different ones."""
    if not column.values or column.distinct > _KINDS_MAX:
        return 0.0
    counts = Counter(text_of(value) for value in column.values)
    return sum(count for name, count in counts.items() if kind_meant(name)) / len(column.values)


def _numbers_share(column: Column) -> float:
    tried = column.values[:_VALUES_TRIED]
    return sum(not isinstance(one, bool) and (isinstance(one, int | float) or not read_number(str(one)).fault)
               for one in tried) / len(tried) if tried else 0.0  # fmt: skip


def _is_counting(column: Column) -> bool:
    """Whether it holds small whole numbers that begin with 1 or 0."""
    texts = column.texts()
    if not texts or not all(_WHOLE.fullmatch(one) for one in texts):
        return False
    numbers = [float(one) for one in texts]
    return min(numbers) >= 0 and max(numbers) < 10_000 and Counter(numbers)[1.0] > 0


def _ids_share(column: Column) -> float:
    """The share of its values that may be ids: of a word or two, and not long."""
    texts = column.texts()
    fit = sum(len(one) <= _ID_CHARS_MAX and len(one.split()) <= 2 for one in texts)
    return fit / len(texts) if texts else 0.0


def _is_id(column: Column) -> bool:
    return _ids_share(column) == 1.0


class ClickGuess:
    """Guesses what the columns of a click log are. `ids` are those of the catalogue, empty where there is none."""

    def __init__(self, sample: Sample, ids: Collection[str], said: Mapping[str, str]) -> None:
        """`said` is role -> column, as `--map` has it."""
        self._columns = {one.name: one for one in columns_of(sample)}
        self._ids = Ids.of(ids)
        self._taken: dict[str, Guess] = {}
        for role, column in said.items():
            if column not in self._columns:
                raise RequestRejected("map", f"there is no column {column!r} for {role}; it has "
                                             f"{', '.join(self._columns)[:400]}")  # fmt: skip
            self._taken[role] = Guess(role, column, "as --map says")

    def guess(self) -> Guesses:
        """All of them."""
        if set(self._columns) == {VISIT, ITEMS}:
            taken = [Guess(VISITOR, VISIT, "a line is a visit"), Guess(ITEM, ITEMS, "the ids in a line, in order")]
            return Guesses(taken, {})
        self._find_parts_of_date()
        for role, fits in (
            (TIME, self._fits_time), (KIND, self._fits_kind), (RATING, self._fits_rating),
            (PLACE, self._fits_place), (ORDER, self._fits_order), (ITEM, self._fits_item), (SESSION, self._fits_person),
            (VISITOR, self._fits_person), (USER, self._fits_person), (PRICE, self._fits_number),
            (QUANTITY, self._fits_number),
        ):  # fmt: skip
            if role not in self._taken:
                self._by_name(role, fits)
            if role == ITEM:
                self._item_by_values()
        self._by_values()
        used = {one.column for one in self._taken.values()}
        left = {name: self._why_left(one) for name, one in self._columns.items() if name not in used}
        return Guesses([self._taken[role] for role in ROLES if role in self._taken], left)

    def _free(self) -> list[Column]:
        used = {one.column for one in self._taken.values()}
        return [one for one in self._columns.values() if one.name not in used and one.values]

    def _take(self, role: str, column: Column, reason: str) -> None:
        self._taken[role] = Guess(role, column.name, reason)

    def _by_name(self, role: str, fits: Any) -> None:
        """The column that is called so, if its values may be that."""
        free = self._free()
        for spelling in NAMES[role]:
            for column in free:
                if column.plain == spelling and (reason := fits(column)):
                    self._take(role, column, f"its name, and {reason}")
                    return

    def _find_parts_of_date(self) -> None:
        parts = {role: next((one for one in self._free() if one.plain in NAMES[role] and all(
            _WHOLE.fullmatch(text) for text in one.texts())), None) for role in (YEAR, MONTH, DAY)}  # fmt: skip
        if TIME in self._taken or any(one is None for one in parts.values()):
            return
        for role, column in parts.items():
            assert column is not None, "that was asked just now"
            self._take(role, column, "year, month and day together are the date")

    def _fits_time(self, column: Column) -> str:
        if YEAR in self._taken or any(word in column.name.casefold() for word in _OTHER_TIMES[:12]):
            return ""
        share = max(moments_share(column), _early_share(column))
        return f"{share:.0%} of its values are moments, such as {_example(column)}" if share >= SHARE_HALF else ""

    def _fits_kind(self, column: Column) -> str:
        share = kinds_share(column)
        return f"{share:.0%} of its values are known kinds, such as {_known_kind(column)}" if share > 0.05 else ""

    def _fits_rating(self, column: Column) -> str:
        most = max(map(_number, column.texts()))
        few = column.distinct <= _RATINGS_MAX and _numbers_share(column) >= SHARE_SURE and most <= 100
        return f"{column.distinct} different numbers up to {most:g}" if few else ""

    def _fits_place(self, column: Column) -> str:
        return "it counts from 1 on" if _is_counting(column) else ""

    def _fits_order(self, column: Column) -> str:
        if _is_counting(column) or column.distinct <= 1 or not _is_id(column):
            return ""
        return f"each of its values comes {column.repeats:.1f} times in the mean"

    def _fits_item(self, column: Column) -> str:
        if _ids_share(column) < SHARE_HALF or column.distinct <= 1 or moments_share(column) >= SHARE_SURE:
            return ""
        if column.plain == "id" and column.repeats < 1.01 and EACH not in column.name:
            return ""
        if self._ids.exact:
            share = self._ids.share(column)
            return f"{share:.0%} of its values are ids of the catalogue" if share > 0 else ""
        return f"{column.distinct:,} different values in {column.rows:,} rows"

    def _fits_person(self, column: Column) -> str:
        if not _is_id(column) or not self._may_be_person(column) or column.share < 0.01:
            return ""
        return f"each of its values comes {column.repeats:.1f} times in the mean"

    def _may_be_person(self, column: Column) -> bool:
        """Whether it has different values enough."""
        return column.distinct > 1 and (
            column.rows < _FEW_ROWS or column.repeats <= _ROWS_OF_ONE * column.filled
        )  # fmt: skip

    def _fits_number(self, column: Column) -> str:
        share = _numbers_share(column)
        return f"{share:.0%} of its values are numbers" if share >= SHARE_HALF else ""

    def _item_by_values(self) -> None:
        """The column that joins best with the catalogue, where the one that is called so joins worse by far, or none
        is called so."""
        if self._ids.exact:
            shares = {one.name: self._ids.share(one) for one in self._free() if _is_id(one)}
            own = self._taken.get(ITEM)
            if own is not None and own.reason.startswith("as --map"):
                return
            has = self._ids.share(self._columns[own.column]) if own else 0.0
            best = max((one for one in self._free() if shares.get(one.name, 0.0) >= JOINED_LEAST),
                       key=lambda one: (round(shares[one.name], 1), one.distinct), default=None)  # fmt: skip
            if best is not None and shares[best.name] > has + 0.3:
                self._take(ITEM, best, f"{shares[best.name]:.0%} of its values are ids of the catalogue")

    def _by_values(self) -> None:
        """What no name says, from what stands in the columns."""
        if TIME not in self._taken and YEAR not in self._taken:
            column = next((one for one in self._free() if _is_timelike(one) and one.distinct > 1
                           and not any(word in one.name.casefold() for word in _OTHER_TIMES)), None)  # fmt: skip
            if column is not None:
                self._take(TIME, column, f"all of its values are moments, such as {_example(column)}")
        if KIND not in self._taken:
            uncategorized = (one for one in self._free() if not one.plain.startswith("cat"))
            column = max(uncategorized, key=kinds_share, default=None)
            if column is not None and kinds_share(column) >= SHARE_HALF:
                share = kinds_share(column)
                self._take(KIND, column, f"{share:.0%} of its values are known kinds, such as {_known_kind(column)}")
        people = (USER, VISITOR, SESSION)
        likely = [one for one in self._free() if _is_id(one) and self._may_be_person(one) and one.share >= SHARE_HALF
                  and not _is_timelike(one) and not _is_fraction(one)]  # fmt: skip
        if ITEM not in self._taken and not self._ids.exact:
            named = [one for one in likely if one.distinct > max(5, 0.02 * one.rows)]
            if not any(role in self._taken for role in people) and len(named) == 2:
                # Of two columns of ids the one that comes in runs is the visitor's.
                visitor, item = sorted(named, key=_runs, reverse=True)
                self._take(VISITOR, visitor, "its values come in runs, as a visitor's do")
                self._take(ITEM, item, f"the other column of ids, {item.distinct:,} different ones")
            elif any(role in self._taken for role in people) and named:
                item = max(named, key=lambda one: one.distinct)
                self._take(ITEM, item, f"the column of ids that has the most different ones, {item.distinct:,}")
        if not any(role in self._taken for role in people):
            found = [one for one in likely if one.name != self._column(ITEM) and one.repeats >= _ROWS_PER_VISITOR
                     and one.distinct > 1]  # fmt: skip
            if found:
                best = max(found, key=lambda one: one.distinct)
                times = f"{best.repeats:.1f} times in the mean"
                self._take(VISITOR, best, f"its values repeat as a visitor's do, {times}")

    def _column(self, role: str) -> str:
        return self._taken[role].column if role in self._taken else ""

    def _why_left(self, column: Column) -> str:
        if not column.values:
            return "it is empty"
        if moments_share(column) >= SHARE_SURE:
            return "a moment, but not that of the event"
        return "nothing that is built in reads it"


def _is_fraction(column: Column) -> bool:
    return any("." in one and not one.endswith(".0") and _numbers_share(column) >= SHARE_SURE for one in column.texts())


def _runs(column: Column) -> float:
    """How many rows behind each other have the same value, in the mean."""
    pairs = zip(column.values, column.values[1:], strict=False)
    changes = 1 + sum(bool(before != after) for before, after in pairs)
    return len(column.values) / changes


def _number(text: str) -> float:
    read = read_number(text)
    number: float = 0.0 if read.fault else read.number
    return number


def _example(column: Column) -> str:
    return repr(text_of(column.values[0])[:40])


def _known_kind(column: Column) -> str:
    known = (text_of(value) for value in column.values)
    return repr(next((one for one in known if kind_meant(one)), "")[:40])


def guess_id(sample: Sample, clicked: Collection[str]) -> Guess | None:
    """The column of a catalogue's ids: called so, or with the values that are clicked on; None where its name says it
    well enough. Raises `RequestRejected` where none can be."""
    columns = [one for one in columns_of(sample) if one.values]
    named = next((one for spelling in IDS for one in columns if one.plain == spelling), None)
    unique = [one for one in columns if _is_id(one) and one.distinct >= SHARE_SURE * len(one.values)
              and one.share >= SHARE_SURE and not _is_fraction(one) and one.plain not in _FIELD_NAMES]  # fmt: skip
    if clicked:
        shares = {one.name: _covered(one, clicked) for one in columns if _is_id(one)}
        has = shares.get(named.name, 0.0) if named is not None else 0.0
        best = max((one for one in columns if one.name in shares), key=lambda one: shares[one.name], default=None)
        if best is not None and shares[best.name] > has + 0.3:
            return Guess("id", best.name, f"{shares[best.name]:.0%} of the items that are clicked on stand in it")
    if named is not None:
        return None
    if not unique or len(columns) == 1:
        return None
    likely = next((one for one in unique if "id" in one.plain or "nr" in one.plain or "code" in one.plain), unique[0])
    return Guess("id", likely.name, "each of its values stands there once")


def _covered(column: Column, clicked: Collection[str]) -> float:
    there = {text_of(value) for value in column.values}
    return sum(one in there for one in clicked) / len(clicked)


def said_roles(pairs: Iterable[str]) -> dict[str, str]:
    """`--map` as role or field -> column; `RequestRejected` for what is none."""
    said: dict[str, str] = {}
    for pair in pairs:
        role, equals, column = pair.partition("=")
        if not (role.strip() and equals and column.strip()):
            raise RequestRejected("map", f"--map takes ROLE=COLUMN, as in --map item=sku, not {pair!r}")
        said[role.strip()] = column.strip()
    return said


def is_click_log(sample: Sample) -> bool:
    """Whether a file holds what people did, and no catalogue: something repeats as a visitor does, and there is a time
    or a kind, or an item comes several times."""
    if sample.format == "lines of ids":
        return True
    columns = columns_of(sample)
    people = any(one.plain in NAMES[role] and one.repeats >= _ROWS_PER_VISITOR and one.distinct > 1 for one in columns
                 for role in (USER, VISITOR, SESSION))  # fmt: skip
    timed = any(one.plain in NAMES[TIME] and moments_share(one) >= SHARE_HALF for one in columns)
    kinds = any(one.plain in NAMES[KIND] and kinds_share(one) >= SHARE_HALF for one in columns)
    ordered = any(one.plain in NAMES[ORDER] and one.repeats > _ROWS_PER_VISITOR for one in columns)
    return people or ordered or (timed and kinds)


def likeness_to_log(sample: Sample) -> int:
    """How much a file looks like a click log: 2 by names and values, 1 where it says when and nothing in it is there
    once, 0 not at all."""
    if is_click_log(sample):
        return 2
    columns = [one for one in columns_of(sample) if one.values]
    timed = [one for one in columns if one.distinct > 1 and _is_timelike(one)]
    once = any(one.distinct == len(one.values) and _is_id(one) and one not in timed for one in columns)
    return int(bool(timed) and not once)


def clicked_values(sample: Sample, rows_max: int) -> set[str]:
    """Everything in a sample of clicks that may be an id, to be looked for in a catalogue."""
    found: set[str] = set()
    for column in columns_of(sample):
        if _is_id(column) and column.distinct > 1:
            found |= {text_of(value) for value in column.values[:rows_max]}
    return found


