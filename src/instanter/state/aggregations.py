"""The aggregations as pure functions on words: `add` one value, `merge` two records, `read` at a time.

Each works on one memory seen twice, as int64 (`ints`) and as float64 (`reals`), on the words that begin at `at`.
All zero words mean "nothing yet". Laws, tested for each: merge is associative and commutative with zero as its
neutral element; the order of `add` does not matter (decayed sums: within 1e-9); a top-k is exact until it is full,
from then on flagged, with the error bound of space-saving (Metwally, Agrawal and El Abbadi, 2005).
"""

from __future__ import annotations

import math

from .compiled import Ints, Reals, kernel
from .layout import SEEN_ITEMS_MAX
from .table import Index, find

LN2 = 0.6931471805599453
VALUE_MAX = 1e9
"""Values are clamped to this magnitude before they are aggregated, so that fixed point cannot run over."""
SUM_MAX = 4_000_000_000_000_000_000


@kernel
def bounded(value: float) -> float:
    """The value, clamped; NaN stays."""
    if value > VALUE_MAX:
        return VALUE_MAX
    if value < -VALUE_MAX:
        return -VALUE_MAX
    return value


@kernel
def to_micro(value: float) -> int:
    """Fixed point of a value, in millionths; NaN counts as 0."""
    if value != value:
        return 0
    return math.floor(bounded(value) * 1e6 + 0.5)


@kernel
def bounded_sum(left: int, right: int) -> int:
    """Integer sum that stops at the bound instead of running over."""
    return min(max(left + right, -SUM_MAX), SUM_MAX)


@kernel
def decay(elapsed_ms: int, half_life_ms: int) -> float:
    """What remains of 1 after `elapsed_ms`; time that has not come yet takes nothing away."""
    if elapsed_ms <= 0:
        return 1.0
    return math.exp(-LN2 * float(elapsed_ms) / float(half_life_ms))


# Sums: count, sum, mean.


@kernel
def add_sum(ints: Ints, at: int, micro: int) -> None:
    ints[at] = bounded_sum(ints[at], micro)


@kernel
def add_mean(ints: Ints, at: int, micro: int) -> None:
    ints[at] = bounded_sum(ints[at], micro)
    ints[at + 1] += 1


# Minimum and maximum: [how many, value].


@kernel
def add_min(ints: Ints, at: int, micro: int) -> None:
    if ints[at] == 0 or micro < ints[at + 1]:
        ints[at + 1] = micro
    ints[at] += 1


@kernel
def add_max(ints: Ints, at: int, micro: int) -> None:
    if ints[at] == 0 or micro > ints[at + 1]:
        ints[at + 1] = micro
    ints[at] += 1


# Decayed sum: [time it stands for, value then].


@kernel
def add_decayed(ints: Ints, reals: Reals, at: int, half_life_ms: int, at_ms: int, value: float) -> None:
    stands_ms = ints[at]
    if at_ms >= stands_ms:
        reals[at + 1] = reals[at + 1] * decay(at_ms - stands_ms, half_life_ms) + value
        ints[at] = at_ms
    else:
        reals[at + 1] += value * decay(stands_ms - at_ms, half_life_ms)


@kernel
def read_decayed(ints: Ints, reals: Reals, at: int, half_life_ms: int, now_ms: int) -> float:
    value: float = reals[at + 1] * decay(now_ms - ints[at], half_life_ms)
    return value


# Windowed sum: [number of the newest tile, tiles in a ring by number].


@kernel
def add_windowed(ints: Ints, at: int, tile_ms: int, tiles: int, at_ms: int, micro: int) -> bool:
    """False if the window that the event belongs to no longer stands."""
    ring = tiles + 1
    number = at_ms // tile_ms
    newest = ints[at]
    if number <= newest - ring:
        return False
    _advance(ints, at, ring, number)
    slot = at + 1 + number % ring
    ints[slot] = bounded_sum(ints[slot], micro)
    return True


@kernel
def _advance(ints: Ints, at: int, ring: int, number: int) -> None:
    newest = ints[at]
    if number <= newest:
        return
    for passed in range(max(newest + 1, number - ring + 1), number + 1):
        ints[at + 1 + passed % ring] = 0
    ints[at] = number


@kernel
def read_windowed(ints: Ints, at: int, tile_ms: int, tiles: int, now_ms: int) -> int:
    """Sum over the window, which reaches back to the start of the tile that it begins in."""
    ring = tiles + 1
    newest = ints[at]
    current = now_ms // tile_ms
    total = 0
    for number in range(max(current - tiles, newest - tiles), min(current, newest) + 1):
        if number >= 0:
            total = bounded_sum(total, ints[at + 1 + number % ring])
    return total


# Last value: [time, tie-break, value]; time since: [time]. The tie-break is the value, formerly the message.


@kernel
def add_last(ints: Ints, at: int, at_ms: int, tie: int, value: int) -> None:
    if at_ms > ints[at] or (at_ms == ints[at] and tie > ints[at + 1]):
        ints[at] = at_ms
        ints[at + 1] = tie
        ints[at + 2] = value


@kernel
def add_time_since(ints: Ints, at: int, at_ms: int) -> None:
    ints[at] = max(ints[at], at_ms)


# Last k: k pairs [time, value], newest first. By reference, each reference stands once with its newest time. Items of
# one time stand in the order of their rows (`by_row`), which does not hang on the references that an installation has.


@kernel
def add_last_k(
    ints: Ints, items: Index, at: int, k: int, unique: bool, by_row: bool, at_ms: int, value: int
) -> None:  # fmt: skip
    end = k
    if unique:
        for i in range(k):
            if ints[at + 2 * i] != 0 and ints[at + 2 * i + 1] == value:
                if ints[at + 2 * i] >= at_ms:
                    return
                end = i + 1
                break
    place = 0
    while place < end and _stands_before(
        items, by_row, ints[at + 2 * place], ints[at + 2 * place + 1], at_ms, value
    ):  # fmt: skip
        place += 1
    if place == end:
        return
    for i in range(end - 1, place, -1):
        ints[at + 2 * i] = ints[at + 2 * i - 2]
        ints[at + 2 * i + 1] = ints[at + 2 * i - 1]
    ints[at + 2 * place] = at_ms
    ints[at + 2 * place + 1] = value


@kernel
def _stands_before(items: Index, by_row: bool, time_ms: int, value: int, other_ms: int, other: int) -> bool:
    if time_ms == other_ms and by_row:
        return _came_before(items, value, other)
    return _before(time_ms, value, other_ms, other)


@kernel
def _before(time_ms: int, value: int, other_ms: int, other: int) -> bool:
    return time_ms > other_ms or (time_ms == other_ms and value >= other)


@kernel
def _came_before(items: Index, ref: int, other: int) -> bool:
    """Whether an item's row comes before the other's; without rows it goes by their references."""
    row, other_row = find(items, ref), find(items, other)
    if row == other_row:
        return ref >= other
    return row >= 0 and (other_row < 0 or row < other_row)


# Held: as last k by reference, and an act may take its reference back. k pairs [time, reference], newest first; the
# time of an act that takes back is negative. Behind them k words: the order that each act belongs to, or 0. Taking a
# whole order back is an act on the order's own reference.


@kernel
def add_held(
    ints: Ints, items: Index, at: int, k: int, by_row: bool, at_ms: int, ref: int, order: int, back: bool
) -> None:  # fmt: skip
    """Keep the act if it is the newest on its reference and among the k newest of all.

    The newest act on each reference, and the k newest of those: maxima, which no order of arrival can change.
    """
    orders, end = at + 2 * k, k
    word = -at_ms if back else at_ms
    for i in range(k):
        if ints[at + 2 * i] != 0 and ints[at + 2 * i + 1] == ref:
            known = ints[at + 2 * i]
            if known == word:
                ints[orders + i] = max(ints[orders + i], order)
            if known == word or _acted_before(items, by_row, known, ref, word, ref):
                return
            end = i + 1
            break
    place = 0
    while place < end and _acted_before(
        items, by_row, ints[at + 2 * place], ints[at + 2 * place + 1], word, ref
    ):  # fmt: skip
        place += 1
    if place == end:
        return
    for i in range(end - 1, place, -1):
        ints[at + 2 * i] = ints[at + 2 * i - 2]
        ints[at + 2 * i + 1] = ints[at + 2 * i - 1]
        ints[orders + i] = ints[orders + i - 1]
    ints[at + 2 * place] = word
    ints[at + 2 * place + 1] = ref
    ints[orders + place] = order


@kernel
def _acted_before(items: Index, by_row: bool, word: int, ref: int, other: int, other_ref: int) -> bool:
    """Whether an act stands in front of another: newer; at one time what takes back; else as in a last k."""
    time_ms, other_ms = abs(word), abs(other)
    if time_ms != other_ms:
        return time_ms > other_ms
    if (word < 0) != (other < 0):
        return word < 0
    return _stands_before(items, by_row, time_ms, ref, other_ms, other_ref)


@kernel
def is_held(ints: Ints, at: int, k: int, i: int) -> bool:
    """Whether the i-th act stands: it takes nothing back, and its order has not been taken back as a whole."""
    if ints[at + 2 * i] <= 0:
        return False
    order, stands = ints[at + 2 * k + i], True
    for j in range(k):
        stands = stands and not (order != 0 and ints[at + 2 * j] < 0 and ints[at + 2 * j + 1] == order)
    return stands


@kernel
def merge_held(ints: Ints, items: Index, to: int, of: int, k: int, by_row: bool) -> None:
    for i in range(k):
        word = ints[of + 2 * i]
        if word == 0:
            break
        add_held(ints, items, to, k, by_row, abs(word), ints[of + 2 * i + 1], ints[of + 2 * k + i], word < 0)


# Orders: [those no longer remembered one by one, whether there are such, k pairs [time and what was told, order]],
# newest first. What was told are two bits below the time: that it was made, that it was taken back.

_MADE, _TAKEN_BACK = 1, 2


@kernel
def add_order(ints: Ints, at: int, k: int, at_ms: int, order: int, taken_back: bool) -> None:
    """One statement about an order; without its id it cannot be told from others, and counts by itself."""
    if order == 0:
        ints[at] += -1 if taken_back else 1
        return
    _put_order(ints, at, k, at_ms, order, _TAKEN_BACK if taken_back else _MADE)


@kernel
def _put_order(ints: Ints, at: int, k: int, at_ms: int, order: int, told: int) -> None:
    end = k
    for i in range(k):
        word = ints[at + 2 + 2 * i]
        if word != 0 and ints[at + 3 + 2 * i] == order:
            at_ms, told, end = max(at_ms, word >> 2), told | (word & 3), i + 1
            break
    if end == k and ints[at + 2 * k] != 0 and ints[at + 1 + 2 * k] != order:
        last_ms, last = ints[at + 2 * k] >> 2, ints[at + 1 + 2 * k]
        if _before(last_ms, last, at_ms, order):
            _let_go_of_order(ints, at, told)
            return
        _let_go_of_order(ints, at, ints[at + 2 * k] & 3)
    place = 0
    while place < end - 1 and _before(ints[at + 2 + 2 * place] >> 2, ints[at + 3 + 2 * place], at_ms, order):
        place += 1
    for i in range(end - 1, place, -1):
        ints[at + 2 + 2 * i] = ints[at + 2 * i]
        ints[at + 3 + 2 * i] = ints[at + 1 + 2 * i]
    ints[at + 2 + 2 * place] = at_ms << 2 | told
    ints[at + 3 + 2 * place] = order


@kernel
def _let_go_of_order(ints: Ints, at: int, told: int) -> None:
    ints[at] += _order_counts(told, ints[at + 1])
    ints[at + 1] = 1


@kernel
def _order_counts(told: int, older: int) -> int:
    """What an order counts. One that was only taken back was made before anybody counted, or is among the older."""
    if told == _MADE:
        return 1
    return -1 if told == _TAKEN_BACK and older else 0


@kernel
def read_orders(ints: Ints, at: int, k: int) -> int:
    total: int = ints[at]
    for i in range(k):
        if ints[at + 2 + 2 * i] != 0:
            total += _order_counts(ints[at + 2 + 2 * i] & 3, ints[at + 1])
    return max(total, 0)


@kernel
def merge_orders(ints: Ints, to: int, of: int, k: int) -> None:
    ints[to] += ints[of]
    ints[to + 1] = max(ints[to + 1], ints[of + 1])
    for i in range(k):
        word = ints[of + 2 + 2 * i]
        if word != 0:
            _put_order(ints, to, k, word >> 2, ints[of + 3 + 2 * i], word & 3)


# Top k: [time it stands for, flagged, k pairs [reference, score]]. Without a half-life the scores are integers in
# millionths and the time stays 0. The pairs stand in the order in which they came, and of equal ones the first goes
# first (`as_came`); by former rules of the fold, in the order of their references, and the largest goes first.


@kernel
def add_top_k(
    ints: Ints, reals: Reals, at: int, k: int, half_life_ms: int, as_came: int, at_ms: int, ref: int, value: float
) -> None:
    weight = value
    if half_life_ms > 0:
        stands_ms = ints[at]
        if at_ms > stands_ms:
            _age(ints, reals, at, k, decay(at_ms - stands_ms, half_life_ms))
            ints[at] = at_ms
        else:
            weight = value * decay(stands_ms - at_ms, half_life_ms)
    count(ints, reals, at, k, half_life_ms, as_came, ref, to_micro(value), weight)


@kernel
def _age(ints: Ints, reals: Reals, at: int, k: int, factor: float) -> None:
    for i in range(k):
        if ints[at + 2 + 2 * i] == 0:
            break
        reals[at + 3 + 2 * i] *= factor


@kernel
def count(
    ints: Ints, reals: Reals, at: int, k: int, half_life_ms: int, as_came: int, ref: int, micro: int, weight: float
) -> None:
    """Add `weight` to the score of a reference, or `micro` without a half-life."""
    used = 0
    for i in range(k):
        known = ints[at + 2 + 2 * i]
        if known == 0:
            break
        if known == ref:
            _raise_score(ints, reals, at + 3 + 2 * i, half_life_ms, micro, weight)
            return
        used += 1
    if used < k:
        _insert(ints, reals, at, used, half_life_ms, as_came, ref, micro, weight)
    else:
        _replace_least(ints, reals, at, k, half_life_ms, as_came, ref, micro, weight)


@kernel
def _raise_score(ints: Ints, reals: Reals, word: int, half_life_ms: int, micro: int, weight: float) -> None:
    if half_life_ms > 0:
        reals[word] += weight
    else:
        ints[word] = bounded_sum(ints[word], micro)


@kernel
def _insert(
    ints: Ints, reals: Reals, at: int, used: int, half_life_ms: int, as_came: int, ref: int, micro: int, weight: float
) -> None:
    """Insert among `used` entries."""
    place = used
    while place > 0 and not as_came and ints[at + 2 * place] > ref:
        ints[at + 2 + 2 * place] = ints[at + 2 * place]
        ints[at + 3 + 2 * place] = ints[at + 1 + 2 * place]
        place -= 1
    ints[at + 2 + 2 * place] = ref
    if half_life_ms > 0:
        reals[at + 3 + 2 * place] = weight
    else:
        ints[at + 3 + 2 * place] = micro


@kernel
def _replace_least(
    ints: Ints, reals: Reals, at: int, k: int, half_life_ms: int, as_came: int, ref: int, micro: int, weight: float
) -> None:
    """Space-saving: the newcomer takes the place and the score of the least."""
    ints[at + 1] = 1
    least = _least(ints, reals, at, k, half_life_ms, as_came)
    if half_life_ms > 0:
        _replace(ints, reals, at, k, half_life_ms, as_came, least, ref, 0, reals[at + 3 + 2 * least] + weight)
    else:
        raised = bounded_sum(ints[at + 3 + 2 * least], micro)
        _replace(ints, reals, at, k, half_life_ms, as_came, least, ref, raised, 0.0)


@kernel
def _least(ints: Ints, reals: Reals, at: int, k: int, half_life_ms: int, as_came: int) -> int:
    """Which of k entries has the least score; of equal ones the first to come, formerly the largest reference."""
    least = 0
    for i in range(1, k):
        word, known = at + 3 + 2 * i, at + 3 + 2 * least
        if half_life_ms > 0:
            less, equal = reals[word] < reals[known], reals[word] == reals[known]
        else:
            less, equal = ints[word] < ints[known], ints[word] == ints[known]
        if less or (equal and not as_came):
            least = i
    return least


@kernel
def _replace(
    ints: Ints, reals: Reals, at: int, k: int, half_life_ms: int, as_came: int, place: int, ref: int, micro: int,
    weight: float,
) -> None:  # fmt: skip
    for i in range(place, k - 1):
        ints[at + 2 + 2 * i] = ints[at + 4 + 2 * i]
        ints[at + 3 + 2 * i] = ints[at + 5 + 2 * i]
    _insert(ints, reals, at, k - 1, half_life_ms, as_came, ref, micro, weight)


@kernel
def read_score(ints: Ints, reals: Reals, at: int, i: int, half_life_ms: int, now_ms: int) -> float:
    """Score of the i-th entry at `now_ms`."""
    score: float = ints[at + 3 + 2 * i] / 1e6
    if half_life_ms > 0:
        score = reals[at + 3 + 2 * i] * decay(now_ms - ints[at], half_life_ms)
    return score


# Seen: [how many came, references in a ring]; the items of a session that co-occurrence pairs up.


@kernel
def has_seen(ints: Ints, at: int, ref: int) -> bool:
    found = False
    for i in range(min(ints[at], SEEN_ITEMS_MAX)):
        found = found or ints[at + 1 + i] == ref
    return found


@kernel
def add_seen(ints: Ints, at: int, ref: int) -> None:
    ints[at + 1 + ints[at] % SEEN_ITEMS_MAX] = ref
    ints[at] += 1


# Merging a feature into another: the words at `to` become what they would be had all values come to them.


@kernel
def merge_top_k(ints: Ints, reals: Reals, to: int, of: int, k: int, half_life_ms: int, as_came: int) -> None:
    """Scores add up and the k largest stay.

    Where a flagged side does not know a reference it may have had up to its least score: that much is added, so
    that no score is ever below the truth (Agarwal and others, Mergeable summaries, 2013).
    """
    if ints[of + 2] == 0:
        return
    factor = 1.0
    if half_life_ms > 0:
        if ints[of] > ints[to]:
            _age(ints, reals, to, k, decay(ints[of] - ints[to], half_life_ms))
            ints[to] = ints[of]
        else:
            factor = decay(ints[to] - ints[of], half_life_ms)
    our_micro, our_weight = _unknown_score(ints, reals, to, k, half_life_ms)
    their_micro, their_weight = _unknown_score(ints, reals, of, k, half_life_ms)
    for i in range(k):
        ref = ints[to + 2 + 2 * i]
        if ref == 0:
            break
        place = _place_of(ints, of, k, ref)
        micro, weight = their_micro, their_weight
        if place >= 0:
            micro, weight = _score(ints, reals, of, place, half_life_ms)
        _raise_score(ints, reals, to + 3 + 2 * i, half_life_ms, micro, weight * factor)
    ints[to + 1] = max(ints[to + 1], ints[of + 1])
    for i in range(k):
        ref = ints[of + 2 + 2 * i]
        if ref == 0:
            break
        if _place_of(ints, to, k, ref) < 0:
            micro, weight = _score(ints, reals, of, i, half_life_ms)
            _admit(
                ints, reals, to, k, half_life_ms, as_came, ref, bounded_sum(our_micro, micro),
                our_weight + weight * factor,
            )  # fmt: skip


@kernel
def _admit(
    ints: Ints, reals: Reals, at: int, k: int, half_life_ms: int, as_came: int, ref: int, micro: int, weight: float
) -> None:
    """Take an entry that is not there, if it is among the k largest."""
    used = 0
    while used < k and ints[at + 2 + 2 * used] != 0:
        used += 1
    if used < k:
        _insert(ints, reals, at, used, half_life_ms, as_came, ref, micro, weight)
        return
    ints[at + 1] = 1
    least = _least(ints, reals, at, k, half_life_ms, as_came)
    least_micro, least_weight = _score(ints, reals, at, least, half_life_ms)
    equal = micro == least_micro and weight == least_weight
    if micro > least_micro or weight > least_weight or (equal and not as_came and ref < ints[at + 2 + 2 * least]):
        _replace(ints, reals, at, k, half_life_ms, as_came, least, ref, micro, weight)


@kernel
def _score(ints: Ints, reals: Reals, at: int, i: int, half_life_ms: int) -> tuple[int, float]:
    """(integer score, 0) without a half-life, (0, decaying score) with one."""
    if half_life_ms > 0:
        return 0, reals[at + 3 + 2 * i]
    return ints[at + 3 + 2 * i], 0.0


@kernel
def _unknown_score(ints: Ints, reals: Reals, at: int, k: int, half_life_ms: int) -> tuple[int, float]:
    """The most that a reference which is not there can have had."""
    if ints[at + 1] == 0:
        return 0, 0.0
    return _score(ints, reals, at, _least(ints, reals, at, k, half_life_ms, 0), half_life_ms)


@kernel
def _place_of(ints: Ints, at: int, k: int, ref: int) -> int:
    """Which entry the reference is, or -1."""
    for i in range(k):
        if ints[at + 2 + 2 * i] == ref:
            return i
    return -1


@kernel
def merge_windowed(ints: Ints, to: int, of: int, tiles: int) -> None:
    ring = tiles + 1
    newest = ints[of]
    _advance(ints, to, ring, newest)
    for number in range(max(newest - tiles, 0), newest + 1):
        if number > ints[to] - ring:
            slot = to + 1 + number % ring
            ints[slot] = bounded_sum(ints[slot], ints[of + 1 + number % ring])


@kernel
def merge_extreme(ints: Ints, to: int, of: int, largest: bool) -> None:
    if ints[of] == 0:
        return
    if ints[to] == 0 or (ints[of + 1] > ints[to + 1]) == largest:
        ints[to + 1] = ints[of + 1]
    ints[to] += ints[of]


@kernel
def merge_last_k(ints: Ints, items: Index, to: int, of: int, k: int, unique: bool, by_row: bool) -> None:
    for i in range(k):
        if ints[of + 2 * i] == 0:
            break
        add_last_k(ints, items, to, k, unique, by_row, ints[of + 2 * i], ints[of + 2 * i + 1])
