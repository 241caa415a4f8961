"""Which items have which words: what a search finds, and what is alike in words.

A pure function of the catalogue: of each word the items that have it, of each item its words. It follows the catalogue
item by item; an item whose words stay as they are (a price, a stock) changes nothing. Scores are those of BM25, with
what a word weighs in an item in the place of how often it stands there (`item_words`), so they depend on how many items
of the tenant have a word, and on nothing in which order items came but that equal scores go by row.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from heapq import nsmallest
from operator import neg
from typing import Final, NamedTuple

import numpy as np

from ..foundation.limits import (
    ALIKE_ENTRIES_MAX,
    ITEM_WORDS_MAX,
    PREFIX_WORDS_MAX,
    SEARCHED_ENTRIES_MAX,
    WORDS_FOLLOWED_MAX,
)
from ..foundation.pages import mapped_zeros
from ..state.compiled import Bytes, Ints, Reals, Shorts, kernel
from ..state.memory import State
from .catalogue_index import CatalogueIndex, IndexOfState
from .completions import Completion, Tally, together
from .item_words import Query, words_of

SATURATION: Final = 1.2
"""What a word weighs in an item counts less and less: half of what it can count at this weight."""
LENGTH_SHARE: Final = 0.3
"""How far a word counts less in an item of many words. Titles are short: that one is longer says little."""
ALIKE_MIN: Final = 0.05
"""Items that are less alike have a word in common that nearly all have."""
BEGUN: Final = 0.5
"""What a word counts that only begins as the query's last word does."""
WORDS_SHARE: Final = 0.75
"""Of how well an item matches, what the share of the query's words says that it has; the rest is in how it has them."""
_WEIGHT_MAX: Final = 255.0
_SHORT_HEAD, _LONG_HEAD = 2, 4
"""Characters by which words are found that begin alike; shorter beginnings stand for no word but themselves."""
_SLOTS_MIN: Final = 1_024
_ENTRIES_MIN: Final = 8_192
_ROOM: Final = 2
"""Times as much as is in use is taken when it does not suffice."""
_NO_ROOM: Final = -1
_SCORE, _WORDS, _TERM, _VALUE = range(4)
"""Columns of the sums: the score, how many of the terms an item has, the last one + 1, and what that one added."""

_NO_ROWS: Final[Ints] = np.zeros(0, np.int64)
_NO_SCORES: Final[Reals] = np.zeros(0)


class Matches(NamedTuple):
    """What a search found, the best first: the items with most words of the query before the others."""

    rows: Ints
    words: Ints
    """How many of the query's words each has."""
    shares: Reals
    """How well each matches, from 0 to 1: how many of the words it has, and how much they say of it."""


NO_MATCHES: Final = Matches(_NO_ROWS, _NO_ROWS, _NO_SCORES)


class _Lists(NamedTuple):
    """By word (slot) the items that have it: parts of one long array, each with room for more."""

    starts: Ints
    sizes: Ints
    rooms: Ints
    rows: Shorts
    weights: Bytes


class _Items(NamedTuple):
    """By row the words of an item: their slots + 1, 0 behind the last; what each weighs; the sum of that."""

    slots: Shorts
    weights: Bytes
    lengths: Shorts


class _Sums(NamedTuple):
    """What a search adds up."""

    table: Reals
    """By row, all zeros between two: see `_SCORE` and what follows it; together, since they are read together."""
    touched: Shorts
    """Rows, one after the other."""
    alike: Reals
    """By row what it has of the words of others, all zeros between two questions."""


class _Tenant:
    """The words of one tenant's items."""

    def __init__(self) -> None:
        self.slots: dict[str, int] = {}
        self.heads: dict[str, list[str]] = {}
        """Words by their first characters."""
        self.items = self.length = 0
        """How many items have words, and the sum of their lengths."""

    @property
    def mean_length(self) -> float:
        return self.length / self.items if self.items else 1.0

    def add(self, word: str, slot: int) -> None:
        self.slots[word] = slot
        for head in _heads(word):
            self.heads.setdefault(head, []).append(word)

    def drop(self, word: str) -> None:
        del self.slots[word]
        for head in _heads(word):
            self.heads[head].remove(word)
            if not self.heads[head]:
                del self.heads[head]

    def beginning(self, beginning: str) -> list[str]:
        """The words that begin so, in no order."""
        chars = _LONG_HEAD if len(beginning) >= _LONG_HEAD else _SHORT_HEAD
        return [word for word in self.heads.get(beginning[:chars], ()) if word.startswith(beginning)]


def _heads(word: str) -> Iterable[str]:
    return {word[:chars] for chars in (_SHORT_HEAD, _LONG_HEAD) if len(word) >= chars}


class WordIndex(CatalogueIndex):
    """The words of all items of one state."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        rows_max = state.schema.capacity.items
        self._tenants: dict[int, _Tenant] = {}
        self._owners: Shorts = mapped_zeros(rows_max, np.int32)
        """By row: the tenant whose words stand there."""
        self._items = _Items(
            mapped_zeros((rows_max, ITEM_WORDS_MAX), np.int32), mapped_zeros((rows_max, ITEM_WORDS_MAX), np.uint8),
            mapped_zeros(rows_max, np.int32),
        )
        self._sums = _Sums(
            mapped_zeros((rows_max, 4), np.float64), mapped_zeros(rows_max + 1, np.int32),
            mapped_zeros(rows_max, np.float64),
        )  # fmt: skip
        self._less: Reals = np.zeros(2 + ITEM_WORDS_MAX * int(_WEIGHT_MAX))
        """By an item's length what `_less` gives, as far as it was asked for, for the mean length that stands last."""
        self._lists = _lists_of(_SLOTS_MIN, _ENTRIES_MIN)
        self._marks: Reals = mapped_zeros(_SLOTS_MIN, np.float64)
        """By slot what the word adds, all zeros between two questions."""
        self._end = 0
        """Of what is in use of the long array, or was."""
        self._texts: list[str] = []
        """By slot, "" for one that no item has."""
        self._free: list[int] = []
        """Slots of words that no item has any more."""

    @property
    def held_bytes(self) -> int:
        """Of the arrays, as far as they are in use; the texts of words and their tables come on top."""
        used = int(np.count_nonzero(self._owners))
        by_row = sum(column.itemsize * (column.size // len(column)) for column in (*self._items, *self._sums))
        return used * by_row + 5 * self._end + 24 * len(self._texts)

    # What is asked.

    def search(
        self, tenant: str, query: Query, popular: Ints, limit: int, entries_max: int = SEARCHED_ENTRIES_MAX
    ) -> Matches:
        """Up to `limit` available items with words of the query, the best first. Half of the places are for those of
        the `popular` rows, the most popular first, that have as many of its words as the best: a query of one word may
        match thousands. Of several words the most common ones are left out with which it would look at more than
        `entries_max` entries."""
        words = self._words_of_tenant(tenant)
        terms = [] if words is None else self._terms(words, query)
        if words is None or not terms:
            return NO_MATCHES
        order = sorted(range(len(terms)), key=lambda number: terms[number].entries)
        entries, kept = 0, list[_Term]()
        for number in order:
            entries += terms[number].entries
            if kept and entries > entries_max:
                break
            kept.append(terms[number])
        # A word that is left out is had by so many that it tells nobody apart, a word that no item has by none.
        count = self._add_up(words, kept)
        try:
            found = self._best(count, limit)
            table = self._sums.table
            most = table[found[:1], _WORDS].max(initial=1.0)
            liked = popular[table[popular, _WORDS] == most][: limit // 2]
            chosen = np.concatenate([liked, found[~np.isin(found, liked)]])[:limit]
            matched, scores = table[chosen, _WORDS].astype(np.int64), table[chosen, _SCORE]
        finally:
            _forget(count, self._sums)
        in_order = np.lexsort((chosen, -scores, -matched))
        asked = len(query.words) - (len(terms) - len(kept))
        best = sum(term.gain for term in kept) * _counts(_WEIGHT_MAX, 1.0)
        shares = WORDS_SHARE * matched / asked + (1.0 - WORDS_SHARE) * np.minimum(scores / best, 1.0)
        return Matches(chosen[in_order], matched[in_order], shares[in_order])

    def complete(self, tenant: str, query: Query, popular: Ints, own: Ints, limit: int) -> list[Completion]:
        """Up to `limit` words of available items that the query's last one may be, the likeliest first, see
        `completions`; none where nothing is being typed. Only such as items have together with the words before it.

        `popular` are rows of items that are popular, `own` those that the person acted on, the newest first.
        """
        words = self._words_of_tenant(tenant)
        if words is None or not query.beginning:
            return []
        last = query.words[-1]
        before = [one for one in query.words[:-1] if one in words.slots]
        begun = set(words.beginning(query.beginning)).difference((last, *before))
        meant = [last] * (last in words.slots) + self._most_had(words, begun)
        meant = meant[:PREFIX_WORDS_MAX]
        if not meant:
            return []
        needed = np.array([words.slots[one] for one in before], np.int64)
        slots = np.array([words.slots[one] for one in meant], np.int64)
        tally = Tally(slots, self._marks, needed, self._items.slots, self._state.catalogue.available)
        try:
            liked = tally.among(popular, np.ones(len(popular)))
            theirs = tally.among(own, 1.0 / np.arange(1.0, len(own) + 1.0))
            items = tally.items_with(*self._lists[:2], self._lists.rows)
        finally:
            tally.forget()
        scores = together(items, liked, theirs)
        order = sorted(np.flatnonzero(items > 0.0).tolist(), key=lambda place: (-scores[place], meant[place]))
        return [Completion(meant[place], round(items[place]), int(tally.rows[place])) for place in order[:limit]]

    def alike(self, tenant: str, to: Sequence[int], limit: int) -> tuple[Ints, Reals]:
        """Up to `limit` available items alike in words to the items of these rows, the most alike first, and how much:
        1 for one that has all words of the first. What is alike to the second counts half, to the third a third ...

        They themselves are not among them. Of very common words nobody looks for all the items that have them.
        """
        words, gains = self._words_of_tenant(tenant), dict[int, float]()
        if words is None:
            return _NO_ROWS, _NO_SCORES
        for place, row in enumerate(to):
            slots, added = self._asked(words, row)
            for slot, gain in zip(slots.tolist(), added.tolist(), strict=True):
                gains[slot] = gains.get(slot, 0.0) + gain / (1.0 + place)
        sizes = self._lists.sizes[np.fromiter(gains, np.int64, len(gains))].tolist()
        entries, kept = 0, list[int]()
        for size, slot in sorted(zip(sizes, gains, strict=True), key=lambda one: one[0]):
            entries += size
            if kept and entries > ALIKE_ENTRIES_MAX:
                break
            kept.append(slot)
        rows, scores = np.empty(limit, np.int64), np.empty(limit)
        count = _find_alike(
            np.array(kept, np.int64), np.array([gains[slot] for slot in kept]), words.mean_length,
            self._state.catalogue.available, self._lists, self._items, self._sums, self._less, np.array(to, np.int64),
            rows, scores,
        )  # fmt: skip
        return rows[:count], np.minimum(scores[:count], 1.0)

    def likeness(self, tenant: str, row: int, rows: Ints) -> Reals:
        """How alike in words the items of `rows` are to that of `row`, from 0 to 1; NaN where one of them has none, and
        for the item itself."""
        found = np.full(len(rows), np.nan)
        words = self._words_of_tenant(tenant)
        if words is not None and row >= 0:
            slots, gains = self._asked(words, row)
            _compare(row, rows, slots, gains, words.mean_length, self._items, self._marks, found)
        return found

    def _words_of_tenant(self, tenant: str) -> _Tenant | None:
        return self._tenants.get(self._state.catalogue.code_of(tenant))

    def _terms(self, words: _Tenant, query: Query) -> list[_Term]:
        """What is looked for: the words of the query that items have."""
        sizes, terms = self._lists.sizes, list[_Term]()
        for place, word in enumerate(query.words):
            counts = {word: 1.0} if word in words.slots else {}
            if query.beginning and place == len(query.words) - 1:
                begun = self._most_had(words, words.beginning(query.beginning))
                counts |= {one: BEGUN for one in begun if one not in counts}
            if counts:
                slots = [words.slots[one] for one in counts]
                entries = int(sizes[slots].sum())
                rarity = _rarity(min(entries, words.items), words.items)
                terms.append(_Term(rarity, slots, list(counts.values()), entries))
        return terms

    def _most_had(self, words: _Tenant, among: Collection[str]) -> list[str]:
        """The `PREFIX_WORDS_MAX` of these words that most items have, such as are had by as many in their order."""
        slots = words.slots
        sizes = self._lists.sizes[np.fromiter(map(slots.__getitem__, among), np.int64, len(among))].tolist()
        first = nsmallest(PREFIX_WORDS_MAX, zip(map(neg, sizes), among, strict=True))
        return [word for _, word in first]

    def _asked(self, words: _Tenant, row: int) -> tuple[Ints, Reals]:
        """The words of an item, as slots, and what each adds to the likeness of one that has it as it has. Those of
        another tenant's item are nobody's business here."""
        if self._tenants.get(int(self._owners[row])) is not words:
            return _NO_ROWS, _NO_SCORES
        slots, gains = np.empty(ITEM_WORDS_MAX, np.int64), np.empty(ITEM_WORDS_MAX)
        count = _ask(row, words.items, words.mean_length, self._lists, self._items, slots, gains)
        return slots[:count], gains[:count]

    def _add_up(self, words: _Tenant, terms: Sequence[_Term]) -> int:
        """Sum up what items have of the terms; how many rows were touched."""
        slots = np.array([slot for term in terms for slot in term.slots], np.int64)
        gains = np.array([term.gain * count for term in terms for count in term.counts])
        numbers = np.repeat(np.arange(1, len(terms) + 1), [len(term.slots) for term in terms])
        return _add(
            slots, gains, numbers, words.mean_length, self._state.catalogue.available, self._lists, self._items,
            self._sums,
        )  # fmt: skip

    def _best(self, count: int, limit: int) -> Ints:
        """The best of the touched rows: those with most words first, then by score, then by row."""
        heap = np.empty(min(limit, count), np.int64)
        _keep_best(count, self._sums, heap)
        order = np.lexsort((heap, -self._sums.table[heap, _SCORE], -self._sums.table[heap, _WORDS]))
        best: Ints = heap[order]
        return best

    # Following.

    def _by_row(self) -> Sequence[Shorts | Bytes]:
        return (self._owners, *self._items)

    def _read(self, row: int) -> None:
        """Take notice of the words of an item that has come, changed or gone."""
        catalogue = self._state.catalogue
        item = catalogue.at_row.get(row)
        weights = {} if item is None else words_of(item.fields)
        code = int(catalogue.tenants[row]) if weights else 0
        if self._stands_as(row, code, weights):
            return
        if self._owners[row]:
            self._take_out(row)
        if weights:
            self._put_in(row, code, weights)

    def _stands_as(self, row: int, code: int, weights: dict[str, int]) -> bool:
        """Whether the item stands there with these words already."""
        if self._owners[row] != code:
            return False
        if not code:
            return True
        slots, known = self._items.slots[row], self._tenants[code].slots
        count = len(weights)
        return (
            [known.get(word, -1) + 1 for word in weights] == slots[:count].tolist()
            and list(weights.values()) == self._items.weights[row, :count].tolist()
            and (count == ITEM_WORDS_MAX or not slots[count])
        )

    def _put_in(self, row: int, code: int, weights: dict[str, int]) -> None:
        words = self._tenants.setdefault(code, _Tenant())
        slots = [words.slots[word] if word in words.slots else self._new_slot(words, word) for word in weights]
        length = sum(weights.values())
        self._items.slots[row, : len(slots)] = np.array(slots) + 1
        self._items.weights[row, : len(slots)] = list(weights.values())
        self._items.lengths[row] = length
        self._owners[row] = code
        words.items, words.length = words.items + 1, words.length + length
        while (end := _put(row, self._items, self._lists, self._end)) == _NO_ROOM:
            self._make_room()
        self._end = end

    def _take_out(self, row: int) -> None:
        words = self._tenants[int(self._owners[row])]
        words.items, words.length = words.items - 1, words.length - int(self._items.lengths[row])
        _take(row, self._items, self._lists)
        slots = self._items.slots[row]
        for slot in (slots[slots > 0] - 1).tolist():
            if not self._lists.sizes[slot]:
                words.drop(self._texts[slot])
                self._texts[slot] = ""
                self._lists.rooms[slot] = 0
                self._free.append(slot)
        if not words.items:
            del self._tenants[int(self._owners[row])]
        self._owners[row] = self._items.lengths[row] = 0
        self._items.slots[row] = self._items.weights[row] = 0

    def _new_slot(self, words: _Tenant, word: str) -> int:
        if self._free:
            slot = self._free.pop()
            self._texts[slot] = word
        else:
            slot = len(self._texts)
            self._texts.append(word)
            if slot == len(self._marks):
                self._make_slots()
        words.add(word, slot)
        return slot

    def _make_slots(self) -> None:
        """Room for more words."""
        before, lists = len(self._marks), self._lists
        self._marks = mapped_zeros(_ROOM * before, np.float64)
        more = [mapped_zeros(_ROOM * before, np.int64) for _ in range(3)]
        for column, known in zip(more, lists[:3], strict=True):
            column[:before] = known
        starts, sizes, rooms = more
        self._lists = _Lists(starts, sizes, rooms, lists.rows, lists.weights)

    def _make_room(self) -> None:
        """Write the lists again without what lies dead between them, into more memory where that takes too much."""
        lists = self._lists
        live = int(lists.rooms.sum())
        size = len(lists.rows)
        more = _lists_of(0, size if _ROOM * (live + _ROOM * ITEM_WORDS_MAX) <= size else _ROOM * size)
        self._lists = lists._replace(rows=more.rows, weights=more.weights)
        self._end = _gather(lists.rows, lists.weights, self._lists)


class Words(IndexOfState[WordIndex]):
    """The words of the state that decisions are made on."""

    def __init__(self) -> None:
        super().__init__(WordIndex, WORDS_FOLLOWED_MAX)


class _Term(NamedTuple):
    """A word that is looked for, or several of which one is as good as the other."""

    gain: float
    slots: list[int]
    counts: list[float]
    """How much each of them counts."""
    entries: int
    """How often items have one of them."""


def _lists_of(slots: int, entries: int) -> _Lists:
    starts, sizes, rooms = (mapped_zeros(slots, np.int64) for _ in range(3))
    return _Lists(starts, sizes, rooms, mapped_zeros(entries, np.int32), mapped_zeros(entries, np.uint8))


def warm_up() -> None:
    """Load or compile what runs only where words come in great numbers."""
    lists = _lists_of(1, 1)
    _gather(lists.rows, lists.weights, lists)


@kernel
def _rarity(having: int, items: int) -> float:
    """What a word that so many of the items have tells of an item."""
    return math.log(1.0 + (items - having + 0.5) / (having + 0.5))


@kernel
def _counts(weight: float, relative_length: float) -> float:
    """What a word of this weight counts in an item so much longer than the average."""
    return weight * (SATURATION + 1.0) / (weight + _less(relative_length))


@kernel
def _less(relative_length: float) -> float:
    """At which weight a word counts half of what it can."""
    return SATURATION * (1.0 - LENGTH_SHARE + LENGTH_SHARE * relative_length)


@kernel
def _put(row: int, items: _Items, lists: _Lists, end: int) -> int:
    """Put the row into the lists of its words; where the long array is in use to then, `_NO_ROOM` where it is too short
    and nothing was done."""
    needed = end
    for place in range(items.slots.shape[1]):
        slot = items.slots[row, place] - 1
        if slot < 0:
            break
        if lists.sizes[slot] == lists.rooms[slot]:
            needed += max(2 * lists.sizes[slot], 1)
    if needed > len(lists.rows):
        return _NO_ROOM
    for place in range(items.slots.shape[1]):
        slot = items.slots[row, place] - 1
        if slot < 0:
            break
        size, first = lists.sizes[slot], lists.starts[slot]
        if size == lists.rooms[slot]:
            for i in range(size):
                lists.rows[end + i] = lists.rows[first + i]
                lists.weights[end + i] = lists.weights[first + i]
            lists.starts[slot] = first = end
            lists.rooms[slot] = max(2 * size, 1)
            end += lists.rooms[slot]
        lists.rows[first + size] = row
        lists.weights[first + size] = items.weights[row, place]
        lists.sizes[slot] = size + 1
    return end


@kernel
def _take(row: int, items: _Items, lists: _Lists) -> None:
    """Take the row out of the lists of its words."""
    for place in range(items.slots.shape[1]):
        slot = items.slots[row, place] - 1
        if slot < 0:
            break
        first, last = lists.starts[slot], lists.starts[slot] + lists.sizes[slot] - 1
        for at in range(first, last + 1):
            if lists.rows[at] == row:
                lists.rows[at], lists.weights[at] = lists.rows[last], lists.weights[last]
                lists.sizes[slot] -= 1
                break


@kernel
def _gather(rows: Shorts, weights: Bytes, lists: _Lists) -> int:
    """Write the lists from `rows` and `weights` one behind the other into their own; where they end."""
    end = 0
    for slot in range(len(lists.sizes)):
        size, first = lists.sizes[slot], lists.starts[slot]
        if size == 0:
            lists.rooms[slot] = 0
            continue
        room = 1
        while room < size:
            room *= 2
        for i in range(size):
            lists.rows[end + i] = rows[first + i]
            lists.weights[end + i] = weights[first + i]
        lists.starts[slot], lists.rooms[slot] = end, room
        end += room
    return end


@kernel
def _ask(
    row: int, items_count: int, mean_length: float, lists: _Lists, items: _Items, slots: Ints, gains: Reals
) -> int:
    """Fill in the words of an item and what each adds, all together 1 for itself; how many."""
    count, own, relative = 0, 0.0, items.lengths[row] / mean_length
    for place in range(items.slots.shape[1]):
        slot, weight = items.slots[row, place] - 1, float(items.weights[row, place])
        if slot < 0:
            break
        gain = _rarity(lists.sizes[slot], items_count) * weight / (weight + SATURATION)
        slots[place], gains[place] = slot, gain
        own += gain * _counts(weight, relative)
        count += 1
    for place in range(count):
        gains[place] /= own
    return count


@kernel
def _add(
    slots: Ints, gains: Reals, terms: Ints, mean_length: float, available: Bytes, lists: _Lists, items: _Items,
    sums: _Sums,
) -> int:  # fmt: skip
    """Add what items have of the terms, of several words for one term the one that counts most; how many rows were
    touched. The words of one term stand together."""
    count, table = 0, sums.table
    for number in range(len(slots)):
        slot, gain, term = slots[number], gains[number], terms[number]
        first = lists.starts[slot]
        for at in range(first, first + lists.sizes[slot]):
            row = lists.rows[at]
            if available[row] == 0:
                continue
            value = gain * _counts(float(lists.weights[at]), items.lengths[row] / mean_length)
            if table[row, _TERM] == 0.0:
                sums.touched[count] = row
                count += 1
            if table[row, _TERM] != term:
                table[row, _TERM] = term
                table[row, _WORDS] += 1.0
                table[row, _SCORE] += value
                table[row, _VALUE] = value
            elif value > table[row, _VALUE]:
                table[row, _SCORE] += value - table[row, _VALUE]
                table[row, _VALUE] = value
    return count


@kernel
def _find_alike(
    slots: Ints, gains: Reals, mean_length: float, available: Bytes, lists: _Lists, items: _Items, sums: _Sums,
    less: Reals, itself: Ints, rows: Ints, scores: Reals,
) -> int:  # fmt: skip
    """Fill `rows` and `scores` with what has most of these words, the best first, ties by row; how many. Not among them
    are the items `itself` and those that are hardly alike."""
    touched, alike = 0, sums.alike
    if less[len(less) - 1] != mean_length:
        for length in range(len(less)):
            less[length] = 0.0
        less[len(less) - 1] = mean_length
    for number in range(len(slots)):
        first, gain = lists.starts[slots[number]], gains[number]
        for at in range(first, first + lists.sizes[slots[number]]):
            row = lists.rows[at]
            length = items.lengths[row]
            if less[length] == 0.0:
                less[length] = _less(length / mean_length)
            before = alike[row]
            sums.touched[touched] = row
            touched += 1 if before == 0.0 else 0
            weight = float(lists.weights[at])
            alike[row] = before + gain * (weight * (SATURATION + 1.0) / (weight + less[length]))
    for row in itself:
        alike[row] = 0.0
    count = 0
    for i in range(touched):
        row = sums.touched[i]
        score = alike[row]
        alike[row] = 0.0
        if score < ALIKE_MIN or available[row] == 0:
            continue
        if count < len(rows):
            rows[count], scores[count] = row, score
            count += 1
            if count == len(rows):
                for root in range(count // 2 - 1, -1, -1):
                    _sink_pair(rows, scores, count, root)
        elif score > scores[0] or (score == scores[0] and row < rows[0]):
            rows[0], scores[0] = row, score
            _sink_pair(rows, scores, count, 0)
    if count < len(rows):
        for root in range(count // 2 - 1, -1, -1):
            _sink_pair(rows, scores, count, root)
    for last in range(count - 1, 0, -1):  # The worst goes to the end, then the next worst before it.
        rows[0], rows[last] = rows[last], rows[0]
        scores[0], scores[last] = scores[last], scores[0]
        _sink_pair(rows, scores, last, 0)
    return count


@kernel
def _sink_pair(rows: Ints, scores: Reals, size: int, root: int) -> None:
    """Let the pair at `root` sink in a heap of so many, whose root is the worst."""
    row, score = rows[root], scores[root]
    while True:
        child = 2 * root + 1
        if child >= size:
            break
        other = child + 1
        if other < size and (
            scores[other] < scores[child] or (scores[other] == scores[child] and rows[other] > rows[child])
        ):
            child = other
        if not (scores[child] < score or (scores[child] == score and rows[child] > row)):
            break
        rows[root], scores[root] = rows[child], scores[child]
        root = child
    rows[root], scores[root] = row, score


@kernel
def _forget(count: int, sums: _Sums) -> None:
    for i in range(count):
        for column in range(4):
            sums.table[sums.touched[i], column] = 0.0


@kernel
def _keep_best(count: int, sums: _Sums, heap: Ints) -> None:
    """Fill the heap with the best of the touched rows; its root is the one to go first."""
    size = len(heap)
    if size == 0:
        return
    for place in range(size):
        heap[place] = sums.touched[place]
    for root in range(size // 2 - 1, -1, -1):
        _sink(sums, heap, root)
    for place in range(size, count):
        if _goes_first(sums, heap[0], sums.touched[place]):
            heap[0] = sums.touched[place]
            _sink(sums, heap, 0)


@kernel
def _sink(sums: _Sums, heap: Ints, root: int) -> None:
    size, moved = len(heap), heap[root]
    while True:
        child = 2 * root + 1
        if child >= size:
            break
        if child + 1 < size and _goes_first(sums, heap[child + 1], heap[child]):
            child += 1
        if not _goes_first(sums, heap[child], moved):
            break
        heap[root] = heap[child]
        root = child
    heap[root] = moved


@kernel
def _goes_first(sums: _Sums, left: int, right: int) -> bool:
    """Whether the left row is the worse."""
    for column in (_WORDS, _SCORE):
        if sums.table[left, column] != sums.table[right, column]:
            return bool(sums.table[left, column] < sums.table[right, column])
    return left > right


@kernel
def _compare(
    itself: int, rows: Ints, slots: Ints, gains: Reals, mean_length: float, items: _Items, marks: Reals, found: Reals
) -> None:
    """How alike items are to the one of row `itself`, which has these words; for it and where one has none, `found`
    stays as it is. `marks` are all zeros before and after."""
    if len(slots) == 0:
        return
    for i in range(len(slots)):
        marks[slots[i]] = gains[i]
    for i in range(len(rows)):
        row = rows[i]
        if row < 0 or row == itself or items.slots[row, 0] == 0:
            continue
        total, relative = 0.0, items.lengths[row] / mean_length
        for place in range(items.slots.shape[1]):
            slot = items.slots[row, place] - 1
            if slot < 0:
                break
            if marks[slot] != 0.0:
                total += marks[slot] * _counts(float(items.weights[row, place]), relative)
        found[i] = min(total, 1.0)
    for i in range(len(slots)):
        marks[slots[i]] = 0.0
