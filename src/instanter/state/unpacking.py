"""Columns of events straight from the bytes of their records: what a replay of many events spends its time on.

Reads MessagePack as `envelope.encode_record` writes it, of `Tracked` and of nothing else. Whatever is not quite that
(other records, numbers in another form, text beyond ASCII, anything that is unsound or out of bounds) is left to the
plain way, `read_record` and `schema.columns_of`, which is the oracle: what is unpacked here gives the same columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from ..events.envelope import Context, Flag, Tracked
from ..events.folding import APART_MS_MAX, TIME_MS_MAX
from ..foundation.ids import References
from ..foundation.limits import FOLD_BATCH_EVENTS_MAX, FOLD_BATCH_ITEMS_MAX, WORDS_UNPACKED_MAX
from .compiled import Bytes, Ints, kernel
from .program import Columns, make_columns
from .schema import Schema

_INTEGER, _TEXT, _BINARY, _TEXTS = 1, 2, 3, 4
_MAP, _LIST = 0x80, 0x90
"""What a field is; of maps and lists the least of their heads."""
_KINDS: Final = {
    "received_ms": _INTEGER, "happened_ms": _INTEGER, "tenant": _TEXT, "key": _INTEGER, "message": _INTEGER,
    "name": _TEXT, "flags": _INTEGER, "items": _LIST, "prices": _LIST, "quantities": _LIST, "positions": _LIST,
    "values": _MAP, "list_id": _TEXT, "decision_id": _TEXT, "context": _TEXTS, "body": _BINARY, "subject": _INTEGER,
    "denied": _TEXTS, "first_told": _INTEGER, "order": _INTEGER, "device": _INTEGER,
}  # fmt: skip
assert tuple(_KINDS) == Tracked.__struct_fields__, "unpacked is what there is"
_TAG, _TAG_FIELD = 1, 0
"""Of `Tracked`; it goes before the fields."""
_PLACES: Final = {name: place for place, name in enumerate(_KINDS, 1)}
_RECEIVED_FIELD, _HAPPENED_FIELD = _PLACES["received_ms"], _PLACES["happened_ms"]
_KEY_FIELD, _MESSAGE_FIELD, _NAME_FIELD = _PLACES["key"], _PLACES["message"], _PLACES["name"]
_FLAGS_FIELD, _ORDER_FIELD, _DENIED_FIELD = _PLACES["flags"], _PLACES["order"], _PLACES["denied"]
_ITEMS_FIELD, _PRICES_FIELD, _QUANTITIES_FIELD = _PLACES["items"], _PLACES["prices"], _PLACES["quantities"]
_FIELDS_MIN: Final = _FLAGS_FIELD + 1
"""Every record has so many."""
_FLAGS, _RETOLD = int(Flag.BOT | Flag.RETOLD), int(Flag.RETOLD)
_NAN_BITS, _ONE_BITS = (int(np.array([value]).view(np.int64)[0]) for value in (np.nan, 1.0))
_WORD_BYTES_MAX: Final = 255
_NAME, _PROPERTY, _PURPOSE, _CONTEXT = 0, 1, 2, 3
"""What a word stands in the place of."""
_NOT_THERE: Final = -1
_ENDED, _ODD, _WORD_WANTED = 0, 1, 2
"""Why unpacking stopped: no more records or no more room; the next record is not read here; it names a context that is
not among the words."""


class _Words(NamedTuple):
    """Texts, each with the sort of place it stands in, and what it means there. Open addressing."""

    slots: Ints
    """Number of a word + 1; 0 is a free slot."""
    sorts: Ints
    begins: Ints
    """[words + 1]: where each begins in `text`, and where the last one ends."""
    text: Bytes
    meanings: Ints
    """Code of a name, column of a property, bit of a purpose, reference of a context."""
    known: Ints
    """[1]: how many there are."""


class _Scratch(NamedTuple):
    """What the kernel writes beside the columns; the reals of the columns by their bits."""

    values: Ints
    prices: Ints
    quantities: Ints
    kinds: Ints
    """By place in a record: what kind of field stands there."""
    read: Ints
    """By place in a record: the integer that was read there."""
    stopped: Ints
    """[3]: why, and from where to where the word lies that is wanted."""


class Unpacking:
    """Unpacks records for one schema, as many at a time as one batch of the fold takes."""

    def __init__(self, schema: Schema, references: References) -> None:
        self._references = references
        self._key = b""
        self._known: Mapping[tuple[int, str], int] = {
            **{(_NAME, name): code for name, code in schema.codes.items()},
            **{(_PROPERTY, name): column for column, name in enumerate(schema.properties)},
            **{(_PURPOSE, name): bit for bit, name in enumerate(schema.purposes)},
        }
        self._words = self._begin()
        columns = {name: column for column, name in enumerate(schema.contexts)}
        self._contexts = np.array([columns.get(name, _NOT_THERE) for name in Context.__struct_fields__], np.int64)
        self._columns = own = make_columns(
            events=FOLD_BATCH_EVENTS_MAX, items=FOLD_BATCH_ITEMS_MAX, values=len(schema.properties),
            refs=len(schema.contexts),
        )  # fmt: skip
        kinds = np.array([_INTEGER, *_KINDS.values()], np.int64)
        self._scratch = _Scratch(
            own.values.view(np.int64), own.prices.view(np.int64), own.quantities.view(np.int64), kinds,
            np.zeros(len(kinds), np.int64), np.zeros(3, np.int64),
        )  # fmt: skip

    def columns(self, records: EncodedRecords, first: int) -> Columns:
        """The columns of the events from record `first` on, up to one that is not read here; perhaps of none.

        The next call overwrites them.
        """
        if self._key != self._references.key:
            self._words = self._begin()
        count, stopped = 0, self._scratch.stopped
        while True:
            count = _unpack(
                records.raw, records.begins, records.ends, records.times_ms, first, count, self._words, self._contexts,
                self._columns, self._scratch,
            )  # fmt: skip
            if stopped[0] != _WORD_WANTED:
                return self._columns.part(0, count)
            self._learn(records.raw[stopped[1] : stopped[2]].tobytes())

    def _learn(self, context: bytes) -> None:
        if self._words.known[0] == len(self._words.meanings):
            self._words = self._begin()
        _add(self._words, _CONTEXT, context, self._references.of(context.decode()))

    def _begin(self) -> _Words:
        """The words of the schema, with room for as many of contexts as are kept."""
        self._key = self._references.key
        known = [
            (sort, name.encode("utf-8", "surrogatepass"), meaning) for (sort, name), meaning in self._known.items()
        ]
        room = len(known) + WORDS_UNPACKED_MAX
        text_bytes = sum(len(name) for _, name, _ in known) + WORDS_UNPACKED_MAX * _WORD_BYTES_MAX
        words = _Words(
            np.zeros(1 << (2 * room).bit_length(), np.int64), np.zeros(room, np.int64), np.zeros(room + 1, np.int64),
            np.zeros(text_bytes, np.uint8), np.zeros(room, np.int64), np.zeros(1, np.int64),
        )  # fmt: skip
        for sort, name, meaning in known:
            _add(words, sort, name, meaning)
        return words


class EncodedRecords:
    """Encoded records within a row of bytes, with the times of their frames."""

    def __init__(
        self, raw: bytes, begins: Sequence[int] | Ints, ends: Sequence[int] | Ints, times_ms: Sequence[int]
    ) -> None:
        """`begins` and `ends` say where in `raw` each lies."""
        self.raw: Bytes = np.frombuffer(raw, np.uint8)
        self.begins: Ints = np.array(begins, np.int64)
        self.ends: Ints = np.array(ends, np.int64)
        self.times_ms: Ints = np.array(times_ms, np.int64)

    @classmethod
    def joined(cls, payloads: Sequence[bytes], times_ms: Sequence[int]) -> EncodedRecords:
        """Of records that lie apart."""
        sizes = np.array([len(payload) for payload in payloads], np.int64)
        ends = np.cumsum(sizes, dtype=np.int64)
        return cls(b"".join(payloads), ends - sizes, ends, times_ms)


def _add(words: _Words, sort: int, word: bytes, meaning: int) -> None:
    number, mask = int(words.known[0]), len(words.slots) - 1
    begin = int(words.begins[number])
    end = begin + len(word)
    words.text[begin:end] = np.frombuffer(word, np.uint8)
    words.sorts[number], words.meanings[number], words.begins[number + 1] = sort, meaning, end
    slot = _hash(words.text, begin, end, sort) & mask
    while words.slots[slot]:
        slot = (slot + 1) & mask
    words.slots[slot] = number + 1
    words.known[0] = number + 1


@kernel
def _unpack(
    raw: Bytes, begins: Ints, ends: Ints, times_ms: Ints, first: int, count: int, words: _Words, contexts: Ints,
    columns: Columns, scratch: _Scratch,
) -> int:  # fmt: skip
    """Unpack records from number `first` + `count` on behind the `count` events there are; how many there are then."""
    scratch.stopped[0] = _ENDED
    while count < len(columns.keys) and first + count < len(times_ms):
        begin, end = begins[first + count], ends[first + count]
        if not _unpack_one(raw, begin, end, times_ms[first + count], count, words, contexts, columns, scratch):
            break
        count += 1
    return count


@kernel
def _unpack_one(
    raw: Bytes, at: int, end: int, time_ms: int, event: int, words: _Words, contexts: Ints, columns: Columns,
    scratch: _Scratch,
) -> bool:  # fmt: skip
    """Unpack one record as event `event`; else say why not."""
    read, begin = scratch.read, columns.first_item[event]
    at, fields = _head(raw, at, end, _LIST)
    scratch.stopped[0] = _ODD
    columns.denied[event] = columns.orders[event] = count = 0
    for column in range(columns.refs.shape[1]):
        columns.refs[event, column] = 0
    for column in range(scratch.values.shape[1]):
        scratch.values[event, column] = _NAN_BITS
    if at < 0 or not _FIELDS_MIN <= fields <= len(scratch.kinds):
        return False
    for field in range(fields):
        kind = scratch.kinds[field]
        if kind == _INTEGER:
            at, read[field] = _int(raw, at, end)
        elif kind == _TEXT:
            at, size = _text(raw, at, end)
            if field == _NAME_FIELD and at >= 0:
                columns.codes[event] = max(_meaning(words, _NAME, raw, at - size, at), 0)
        elif kind == _BINARY:
            at = _binary(raw, at, end)
        elif kind == _MAP:
            at = _values(raw, at, end, words, event, scratch)
        elif kind == _TEXTS:
            at = _texts(raw, at, end, field == _DENIED_FIELD, words, contexts, event, columns, scratch)
        elif field == _ITEMS_FIELD:
            at, count = _items(raw, at, end, begin, columns, scratch)
        else:
            at = _beside(raw, at, end, field, begin, count, scratch)
        if at < 0:
            return False
    columns.received_ms[event], columns.times_ms[event] = read[_RECEIVED_FIELD], read[_HAPPENED_FIELD]
    columns.keys[event], columns.messages[event] = read[_KEY_FIELD], read[_MESSAGE_FIELD]
    columns.flags[event] = read[_FLAGS_FIELD] & _FLAGS
    columns.first_item[event + 1] = begin + count
    if fields > _ORDER_FIELD:
        columns.orders[event] = read[_ORDER_FIELD]
    return bool(at == end and read[_TAG_FIELD] == _TAG and read[_KEY_FIELD] != 0 and _in_time(read, time_ms))


@kernel
def _in_time(read: Ints, time_ms: int) -> bool:
    """As `folding.is_in_time`, and no time that fits no column."""
    received_ms, happened_ms = read[_RECEIVED_FIELD], read[_HAPPENED_FIELD]
    if min(happened_ms, received_ms) < -TIME_MS_MAX or max(happened_ms, received_ms) > TIME_MS_MAX:
        return False
    if max(happened_ms, received_ms) > time_ms + APART_MS_MAX:
        return False
    return bool(received_ms >= time_ms - APART_MS_MAX or read[_FLAGS_FIELD] & _RETOLD)


@kernel
def _items(raw: Bytes, at: int, end: int, begin: int, columns: Columns, scratch: _Scratch) -> tuple[int, int]:
    """The items, from place `begin` on; where they end, and how many there are."""
    at, count = _head(raw, at, end, _LIST)
    if begin + count > len(columns.items):
        if begin > 0:  # There is room for it in the next batch.
            scratch.stopped[0] = _ENDED
        return -1, 0
    for place in range(begin, begin + count):
        at, columns.items[place] = _int(raw, at, end)
        scratch.prices[place], scratch.quantities[place] = _NAN_BITS, _ONE_BITS
        if columns.items[place] == 0:
            return -1, 0
    return at, count


@kernel
def _beside(raw: Bytes, at: int, end: int, field: int, begin: int, count: int, scratch: _Scratch) -> int:
    """Prices, quantities or positions: as many as there are items, or none; where they end, or -1."""
    at, given = _head(raw, at, end, _LIST)
    if given not in (0, count):
        return -1
    for place in range(begin, begin + given):
        if field == _PRICES_FIELD:
            at, scratch.prices[place] = _real(raw, at, end)
        elif field == _QUANTITIES_FIELD:
            at, scratch.quantities[place] = _real(raw, at, end)
        else:
            at, _ = _int(raw, at, end)
    return at


@kernel
def _values(raw: Bytes, at: int, end: int, words: _Words, event: int, scratch: _Scratch) -> int:
    """Numeric properties by name; where they end, or -1."""
    at, count = _head(raw, at, end, _MAP)
    for _ in range(count):
        name_end, size = _text(raw, at, end)
        at, bits = _real(raw, name_end, end)
        if at < 0:
            return -1
        column = _meaning(words, _PROPERTY, raw, name_end - size, name_end)
        if column >= 0:
            scratch.values[event, column] = bits
    return at


@kernel
def _texts(
    raw: Bytes, at: int, end: int, denied: bool, words: _Words, contexts: Ints, event: int, columns: Columns,
    scratch: _Scratch,
) -> int:  # fmt: skip
    """The fields of the context, or the purposes that are `denied`; where they end, or -1."""
    at, count = _head(raw, at, end, _LIST)
    if not denied and count > len(contexts):
        return -1
    for place in range(count):
        at, size = _text(raw, at, end)
        if at < 0:
            return -1
        if not denied and (contexts[place] < 0 or size == 0):
            continue
        meaning = _meaning(words, _PURPOSE if denied else _CONTEXT, raw, at - size, at)
        if denied:
            if meaning >= 0:
                columns.denied[event] |= 1 << meaning
        elif meaning == _NOT_THERE:
            if size <= _WORD_BYTES_MAX:
                scratch.stopped[0], scratch.stopped[1], scratch.stopped[2] = _WORD_WANTED, at - size, at
            return -1
        else:
            columns.refs[event, contexts[place]] = meaning
    return at


@kernel
def _meaning(words: _Words, sort: int, raw: Bytes, begin: int, end: int) -> int:
    """What a text means in that sort of place, `_NOT_THERE` if it is not among the words."""
    mask = len(words.slots) - 1
    slot = _hash(raw, begin, end, sort) & mask
    while words.slots[slot] != 0:
        word = words.slots[slot] - 1
        at, size = words.begins[word], words.begins[word + 1] - words.begins[word]
        if words.sorts[word] == sort and size == end - begin:
            same = 0
            while same < size and words.text[at + same] == raw[begin + same]:
                same += 1
            if same == size:
                return int(words.meanings[word])
        slot = (slot + 1) & mask
    return _NOT_THERE


@kernel
def _hash(text: Bytes, begin: int, end: int, sort: int) -> int:
    """Of 31 bits, so that no product leaves a word."""
    value = sort + 1
    for place in range(begin, end):
        value = (value * 31 + _byte(text, place)) & 0x7FFFFFFF
    return value


# MessagePack. Each gives where what it reads ends, or -1 where that is not what is wanted, or not whole; and from -1 on
# nothing is read any more. https://github.com/msgpack/msgpack/blob/master/spec.md


@kernel
def _byte(raw: Bytes, at: int) -> int:
    """In a type in which nothing goes round its end."""
    return int(np.int64(raw[at]))


@kernel
def _big_endian(raw: Bytes, at: int, size: int) -> int:
    """The signed integer of `size` bytes."""
    value = _byte(raw, at)
    if value >= 128:
        value -= 256
    for place in range(at + 1, at + size):
        value = value * 256 + _byte(raw, place)
    return value


@kernel
def _unsigned(raw: Bytes, at: int, size: int) -> int:
    """Likewise without a sign, of at most four bytes."""
    value = 0
    for place in range(at, at + size):
        value = value * 256 + _byte(raw, place)
    return value


@kernel
def _int(raw: Bytes, at: int, end: int) -> tuple[int, int]:
    """An integer that a word holds."""
    if not 0 <= at < end:
        return -1, 0
    head = _byte(raw, at)
    at += 1
    if head < 0x80:
        return at, head
    if head >= 0xE0:
        return at, head - 256
    if 0xCC <= head <= 0xCE:
        size = 1 << (head - 0xCC)
        return (at + size, _unsigned(raw, at, size)) if at + size <= end else (-1, 0)
    if 0xD0 <= head <= 0xD3 or head == 0xCF:
        size = 8 if head == 0xCF else 1 << (head - 0xD0)
        if at + size > end:
            return -1, 0
        value = _big_endian(raw, at, size)
        return (at + size, value) if head != 0xCF or value >= 0 else (-1, 0)
    return -1, 0


@kernel
def _real(raw: Bytes, at: int, end: int) -> tuple[int, int]:
    """A double, by its bits."""
    if not 0 <= at <= end - 9 or raw[at] != 0xCB:
        return -1, 0
    return at + 9, _big_endian(raw, at + 1, 8)


@kernel
def _text(raw: Bytes, at: int, end: int) -> tuple[int, int]:
    """Text in ASCII; its end, and its size."""
    if not 0 <= at < end:
        return -1, 0
    head = _byte(raw, at)
    width = 0 if 0xA0 <= head <= 0xBF else head - 0xD8
    if not 0 <= width <= 2 or at + 1 + width > end:
        return -1, 0
    size = _unsigned(raw, at + 1, width) if width else head - 0xA0
    at += 1 + width
    if at + size > end:
        return -1, 0
    for place in range(at, at + size):
        if raw[place] >= 128:
            return -1, 0
    return at + size, size


@kernel
def _binary(raw: Bytes, at: int, end: int) -> int:
    """Bytes; their end."""
    if not 0 <= at <= end - 2 or not 0xC4 <= raw[at] <= 0xC6:
        return -1
    width = 1 << (_byte(raw, at) - 0xC4)
    if at + 1 + width > end:
        return -1
    at += 1 + width + _unsigned(raw, at + 1, width)
    return at if at <= end else -1


@kernel
def _head(raw: Bytes, at: int, end: int, kind: int) -> tuple[int, int]:
    """The head of a list or a map; its end, and how many there are in it."""
    if not 0 <= at < end:
        return -1, 0
    head = _byte(raw, at)
    if kind <= head <= kind + 0xF:
        return at + 1, head - kind
    if head == (0xDC if kind == _LIST else 0xDE) and at + 3 <= end:
        return at + 3, _unsigned(raw, at + 1, 2)
    return -1, 0
