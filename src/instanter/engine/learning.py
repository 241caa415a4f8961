"""The online learners of a partition: outcomes are joined to what was shown while the log is folded, and move weights.

Part of the folded state: the same log gives the same weights, live, after a restart and in a replay. Decisions carry
what their learners read of the items shown (`Lesson`): nothing is computed again, and nothing sealed is needed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec
import numpy as np

from ..events.envelope import (
    Decided,
    Epoch,
    Erased,
    Flag,
    LearnerDeclared,
    LearnerTurned,
    Lesson,
    Record,
    Tracked,
)
from ..events.folding import Change, Prepare, Rows, always
from ..features.assemble import Matrix
from ..feedback.join import SKEW_MS
from ..feedback.outcomes import happened_in
from ..feedback.rewards import DEFAULT_WORTHS, Rewards
from ..foundation.limits import LEARNERS_MAX, LESSONS_BYTES_MAX, LESSONS_OPEN_MAX, LESSONS_PER_PERSON_MAX
from ..models.online import Learned, Learner

FREEZE: Final = "freeze"
THAW: Final = "thaw"
RESET: Final = "reset"
_DWELL_MS: Final = Rewards().dwell_ms


_Name = tuple[str, str]
"""Of a list: its decision and its placement."""


class OpenLesson(msgspec.Struct, array_like=True, frozen=True):
    """A list that outcomes may still come to. Replaced, never changed: a checkpoint may be writing it."""

    decision_id: str
    tenant: str
    key: int
    at_ms: int
    lesson: Lesson
    outcomes: tuple[int, ...]
    """Bits of `Outcome`, by item."""

    @property
    def size_bytes(self) -> int:
        return len(self.lesson.inputs) + 16 * len(self.lesson.items)


class LearnerRow(msgspec.Struct, array_like=True, frozen=True):
    """A learner as a checkpoint holds it."""

    tenant: str
    placement: str
    weights: tuple[float, ...]
    squares: tuple[float, ...]
    lessons: int
    published: tuple[float, ...]
    published_lessons: int


class Learners:
    """All of them, by tenant and placement; their lists that are open are bounded in number and bytes."""

    def __init__(self) -> None:
        self.declared: dict[str, LearnerDeclared] = {}
        """By placement."""
        self.frozen: dict[tuple[str, str], LearnerTurned] = {}
        """By tenant and placement: who is not to learn on, because somebody said so."""
        self.closed_early = 0
        self.untaught = 0
        """Outcomes that taught nobody, since there are as many learners as there may be."""
        """Lists that had to make room for others before their time."""
        self._learners: dict[tuple[str, str], Learner] = {}
        self._rewards: dict[str, Rewards] = {}
        self._open = OrderedDict[_Name, OpenLesson]()
        """By decision and placement, the oldest first."""
        self._of_person: dict[int, tuple[_Name, ...]] = {}
        """By cell: what was shown to it last, the newest first."""
        self._bytes = 0

    @property
    def open(self) -> int:
        """Lists that wait for outcomes."""
        return len(self._open)

    @property
    def lessons(self) -> int:
        """Outcomes that all of them have learned from."""
        return sum(one.lessons for one in self._learners.values())

    def of(self, tenant: str, placement: str, inputs: tuple[str, ...] | None = None) -> Learned | None:
        """What decisions read; None while there is nothing but the ranker. With `inputs` the learner has to learn from
        these: the log may declare others than the configuration of whoever decides."""
        found, declared = self._learners.get((tenant, placement)), self.declared.get(placement)
        if found is None or declared is None or inputs not in (None, declared.inputs):
            return None
        return found.learned

    def is_frozen(self, tenant: str, placement: str) -> bool:
        """Whether it learns no more, by the configuration or because somebody said so."""
        declared = self.declared.get(placement)
        return declared is None or declared.frozen or (tenant, placement) in self.frozen

    # Records.

    def hears(self) -> Mapping[type[Record], Prepare]:
        return {
            LearnerDeclared: always(self.declare),
            LearnerTurned: self._turning,
            Decided: always(self.show),
            Epoch: always(lambda event: self.publish(event.at_ms)),
            Erased: always(lambda event: self.drop(event.cells)),
        }

    def _turning(self, event: LearnerTurned, _end: int) -> Change:
        """Of a learner that there is: what a checkpoint holds of one would not come back without it."""
        if event.placement not in self.declared:
            raise LookupError(f'"{event.placement}" has no online learner')
        return partial(self.turn, event)

    def declare(self, event: LearnerDeclared) -> None:
        """From here on the placement has this learner. Inputs it had before keep their weights."""
        before = self.declared.pop(event.placement, None)
        if not event.inputs:
            self._forget(event.placement)
            return
        self.declared[event.placement] = event
        worths = {kind: event.worths[kind] for kind in DEFAULT_WORTHS if kind in event.worths}
        self._rewards[event.placement] = Rewards(window_ms=event.window_ms, worths=worths)
        if before is not None and before.inputs != event.inputs:
            self._close(name for name in list(self._open) if name[1] == event.placement)
            for (_, placement), learner in self._learners.items():
                if placement == event.placement:
                    _carry_over(learner, before.inputs, event.inputs)

    def _forget(self, placement: str) -> None:
        """A placement without a learner: nothing is left that a checkpoint would not hold."""
        self._close(name for name in list(self._open) if name[1] == placement)
        self._rewards.pop(placement, None)
        self._learners = {about: one for about, one in self._learners.items() if about[1] != placement}
        self.frozen = {about: one for about, one in self.frozen.items() if about[1] != placement}

    def turn(self, event: LearnerTurned) -> None:
        """Freeze, thaw or reset."""
        about = (event.tenant, event.placement)
        if event.act == FREEZE:
            self.frozen[about] = event
        elif event.act == THAW:
            self.frozen.pop(about, None)
        else:
            self._learners.pop(about, None)
            self._close(
                name for name, one in list(self._open.items()) if (one.tenant, one.lesson.placement) == about
            )

    def show(self, event: Decided) -> None:
        """Something was shown: its outcomes are lessons."""
        for lesson in event.lessons:
            name = (event.decision_id, lesson.placement)
            if name not in self._open and self._fits(lesson):
                self._put(name, OpenLesson(
                    event.decision_id, event.tenant, event.key, event.at_ms, lesson, (0,) * len(lesson.items)
                ))  # fmt: skip
        while len(self._open) > LESSONS_OPEN_MAX or self._bytes > LESSONS_BYTES_MAX:
            self._close_early(next(iter(self._open)))

    def _fits(self, lesson: Lesson) -> bool:
        declared = self.declared.get(lesson.placement)
        return declared is not None and len(lesson.inputs) == 4 * len(lesson.items) * (1 + len(declared.inputs))

    def _put(self, name: _Name, opened: OpenLesson) -> None:
        self._open[name] = opened
        self._bytes += opened.size_bytes
        if opened.key:
            shown = (name, *self._of_person.get(opened.key, ()))
            self._of_person[opened.key] = shown
            if len(shown) > LESSONS_PER_PERSON_MAX:
                self._close_early(shown[-1])

    def _close_early(self, name: _Name) -> None:
        self.closed_early += 1
        self._close([name])

    def note(self, event: Tracked, cells: Sequence[int]) -> None:
        """Somebody did something that counts; `cells` are all cells of the person as they are linked now."""
        if event.flags & Flag.BOT or not self._open:
            return
        for happened in happened_in(event, dwell_ms=_DWELL_MS):
            opened = self._found(event, cells, happened.item)
            if opened is not None:
                self._learn(opened, opened.lesson.items.index(happened.item), int(happened.outcome))

    def drop(self, cells: Iterable[int]) -> None:
        """Forget what was shown to people who were erased; what it has taught stays."""
        gone = set(cells)
        self._close(name for name, one in list(self._open.items()) if one.key in gone)

    def publish(self, at_ms: int) -> None:
        """An epoch: decisions read what has been learned, and lists whose time is over are closed."""
        for learner in self._learners.values():
            learner.publish()
        over = []
        for name, one in self._open.items():
            if one.at_ms + self.declared[one.lesson.placement].window_ms >= at_ms:
                break
            over.append(name)
        self._close(over)

    # What a checkpoint holds.

    def rows(self) -> Rows:
        """None where no learner has been declared."""
        if not self.declared:
            return {}
        learners = [
            LearnerRow(
                tenant, placement, tuple(one.weights.tolist()), tuple(one.squares.tolist()), one.lessons,
                tuple(one.learned.weights.tolist()), one.learned.lessons,
            )
            for (tenant, placement), one in self._learners.items()
        ]  # fmt: skip
        return {
            "learners_declared": list(self.declared.values()),
            "learners_frozen": list(self.frozen.values()),
            "learners": learners,
            "lessons": list(self._open.values()),
        }

    def restore(self, rows: Rows) -> None:
        for declared in msgspec.convert(rows.get("learners_declared", []), list[LearnerDeclared]):
            self.declare(declared)
        for turned in msgspec.convert(rows.get("learners_frozen", []), list[LearnerTurned]):
            self.turn(turned)
        for row in msgspec.convert(rows.get("learners", []), list[LearnerRow]):
            learner = self._learners[row.tenant, row.placement] = Learner(inputs=len(row.weights) - 1)
            learner.weights[:], learner.squares[:], learner.lessons = row.weights, row.squares, row.lessons
            learner.learned = Learned(np.array(row.published), row.published_lessons)
        for one in msgspec.convert(rows.get("lessons", []), list[OpenLesson]):
            self._put((one.decision_id, one.lesson.placement), one)

    def hashed(self) -> Iterable[object] | None:
        return [row for rows in self.rows().values() for row in rows] if self.declared else None

    # The join.

    def _found(self, event: Tracked, cells: Sequence[int], item: int) -> OpenLesson | None:
        """The one list that an outcome belongs to: of the decision it names, else the newest that showed the person the
        item before."""
        named = ((event.decision_id, placement) for placement in self.declared) if event.decision_id else ()
        shown = (name for cell in cells for name in self._of_person.get(cell, ()))
        return self._newest(named, event, item, -SKEW_MS) or self._newest(shown, event, item, 0)

    def _newest(self, names: Iterable[_Name], event: Tracked, item: int, since_least_ms: int) -> OpenLesson | None:
        best: OpenLesson | None = None
        for name in names:
            one = self._open.get(name)
            if one is None or one.tenant != event.tenant or item not in one.lesson.items:
                continue
            since_ms = event.happened_ms - one.at_ms
            in_time = since_least_ms <= since_ms <= self.declared[one.lesson.placement].window_ms
            if in_time and (best is None or _order(one) > _order(best)):
                best = one
        return best

    def _learn(self, opened: OpenLesson, place: int, outcome: int) -> None:
        before = opened.outcomes[place]
        if before & outcome == outcome:
            return
        placement = opened.lesson.placement
        outcomes = (*opened.outcomes[:place], before | outcome, *opened.outcomes[place + 1 :])
        self._open[opened.decision_id, placement] = msgspec.structs.replace(opened, outcomes=outcomes)
        rewards = self._rewards[placement]
        worth = rewards.of(before | outcome, 0.0) - rewards.of(before, 0.0)
        if worth <= 0.0 or self.is_frozen(opened.tenant, placement):
            return
        seen = range(min(place + 2, len(outcomes)))
        passed_over = [other for other in seen if other != place and not rewards.of(outcomes[other], 0.0)]
        learner = self._learner(opened.tenant, placement)
        if passed_over and learner is not None:
            declared = self.declared[placement]
            learner.learn(
                inputs_of(opened.lesson), place, worth=worth, passed_over=passed_over, step=declared.step,
                weight_max=declared.weight_max,
            )  # fmt: skip

    def _learner(self, tenant: str, placement: str) -> Learner | None:
        """None where there is no room for another one."""
        learner = self._learners.get((tenant, placement))
        if learner is None and len(self._learners) >= LEARNERS_MAX:
            self.untaught += 1
        elif learner is None:
            inputs = len(self.declared[placement].inputs)
            learner = self._learners[tenant, placement] = Learner(inputs=inputs)
        return learner

    def _close(self, names: Iterable[_Name]) -> None:
        for name in names:
            one = self._open.pop(name)
            self._bytes -= one.size_bytes
            left = tuple(other for other in self._of_person.get(one.key, ()) if other != name)
            if left:
                self._of_person[one.key] = left
            else:
                self._of_person.pop(one.key, None)


def inputs_of(lesson: Lesson) -> Matrix:
    """[items, 1 + inputs]: the ranker's score, then each input."""
    return np.frombuffer(lesson.inputs, "<f4").reshape(len(lesson.items), -1).copy()


def _order(opened: OpenLesson) -> tuple[int, str, str]:
    return opened.at_ms, opened.decision_id, opened.lesson.placement


def _carry_over(learner: Learner, before: Sequence[str], now: Sequence[str]) -> None:
    places = [before.index(name) if name in before else -1 for name in now]
    fresh = Learner(inputs=len(now))
    for had, has in ((learner.weights, fresh.weights), (learner.squares, fresh.squares)):
        has[0] = had[0]
        for to, place in enumerate(places):
            has[1 + to] = had[1 + place] if place >= 0 else 0.0
    learner.weights, learner.squares = fresh.weights, fresh.squares
    learner.learned = Learned(learner.weights.copy(), learner.lessons)
