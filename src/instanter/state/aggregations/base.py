"""What an aggregation is: all that the rest of the engine asks of one, so that nothing else branches on which it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntFlag
from typing import TYPE_CHECKING, Any, Final, Literal

from ..compiled import Ints

if TYPE_CHECKING:
    from ..layout import FeatureSpec

Kernel = Callable[..., Any]
"""A compiled function that names what it needs by its parameters, see `dispatch`."""
Use = Literal["no", "may", "must"]
"""Whether a declaration may have a field."""


class Trait(IntFlag):
    """What the fold and the reader mind about an aggregation, as bits of `program.TRAITS`."""

    FROM_ZERO = 1
    """It reads 0 where nothing has happened; of all else there is no value then."""
    OWN_AGE = 2
    """It judges by itself what is too old, and takes events that are late for windows."""
    SEQUENTIAL = 4
    """By rules 1 of the fold it takes nothing that is late for sequences."""
    EVENTS = 8
    """It counts events or orders as a whole: what takes back a part of one takes nothing back."""
    RECALLS_ORDERS = 16
    """Taking a whole order back is an act of its own."""
    PAIRS = 32
    """It is fed pair by pair, see `pairs`."""
    COMPANION = 64
    """It is made by the layout beside another one, and never declared."""
    TIMED = 128
    """Its first word is the time of what it was last added."""
    TILED = 256
    """Its first word is the number of the newest tile."""
    STEPS = 512
    """It keeps steps in a ring, see `sequences`."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a declaration has to say, and must not."""

    value: Use = "no"
    by: Use = "no"
    k: Use = "no"
    half_life: Use = "no"
    window: Use = "no"
    takes_back: bool = False
    """Something can be taken back of it, whatever it is kept by."""
    takes_back_by: str = ""
    """... or where it is kept by this."""
    scopes: tuple[str, ...] = ("session", "profile", "item")


NOTHING_DECLARED: Final = Rules()


def no_words(spec: FeatureSpec) -> list[int]:
    """None of its words."""
    del spec
    return []


@dataclass(frozen=True, kw_only=True, eq=False)
class Aggregation:
    """One way to keep something of events. All zero words mean "nothing yet"; `merge` is associative and commutative
    with zero as its neutral element; the order in which values come does not matter (decayed sums: within 1e-9)."""

    name: str
    number: int
    """Part of the stored layout: never used for another one."""
    words: Callable[[FeatureSpec], int]
    """How many words it takes in a record."""
    rules: Rules = NOTHING_DECLARED
    declared_as: str = ""
    """Its name in declarations where that is another's too; it is this one `by` what the rules say."""
    declared_by: str = ""
    traits: Trait = field(default=Trait(0))
    add: Kernel | None = None
    """Add one value, or take it back."""
    add_order: Kernel | None = None
    """The same for what is kept by order: one statement about an order."""
    merge: Kernel | None = None
    """Make the words at `to` what they would be had all values come to them that came to those at `of`."""
    read: Kernel | None = None
    """The number at a time, NaN where nothing has been counted."""
    read_list: Kernel | None = None
    """Write the entries into `refs` and `weights` from `start` on; how many."""
    listed: Literal["", "scores", "times"] = ""
    """What weighs the entries of its list."""
    lasting: Kernel | None = None
    """A score in the order of the numbers at any time, for what fades; minus infinity for nothing."""
    fades_by_itself: bool = False
    """Time alone changes the order of its numbers."""
    sort: Callable[[Ints, FeatureSpec], None] | None = None
    """Put entries that may stand in any order into one: in place, on [records, words]."""
    unordered: bool = False
    """Its entries say the same in any order."""
    inexact: Callable[[FeatureSpec], list[int]] = no_words
    """Its words whose last bits depend on the order of arrival."""
    companion: Aggregation | None = None
    """What the layout adds for it."""
    beside: Literal["session", "profile"] = "session"
    """Where it is added, if it is a companion."""

    @property
    def is_number(self) -> bool:
        """Whether it reads as one number."""
        return self.read is not None

    @property
    def keeps_steps(self) -> bool:
        """Whether each feature of it has a ring of steps."""
        return bool(self.traits & Trait.STEPS)

    @property
    def is_declared(self) -> bool:
        """Whether features can be declared with it."""
        return not self.traits & Trait.COMPANION
