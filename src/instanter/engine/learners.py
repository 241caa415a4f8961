"""The switches of the online learners: what the configuration declares, and freezing, thawing and resetting by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from ..decisions.placement import Placement
from ..events.envelope import LearnerDeclared, LearnerTurned
from ..feedback.rewards import Rewards
from ..foundation.clock import Clock
from ..foundation.errors import RequestRejected
from ..models.online import Learned
from ..privacy.audit import Audit
from .journal import Journal
from .learning import FREEZE, RESET, THAW
from .partition import Partition

Act = Literal["freeze", "thaw", "reset"]
ACTS: tuple[Act, ...] = (FREEZE, THAW, RESET)


class LearnerStatus(NamedTuple):
    """A learner as it is for one tenant."""

    declared: LearnerDeclared
    learned: Learned | None
    """None while it is the ranker alone."""
    frozen: bool


class LearnerSwitches:
    """Writes what becomes of learners into the log; the fold does the rest."""

    def __init__(
        self, *, partition: Partition, journal: Journal, clock: Clock, audit: Audit, placements: Sequence[Placement],
        rewards: Rewards,
    ) -> None:  # fmt: skip
        self._learners = partition.learners
        self._journal = journal
        self._clock = clock
        self._audit = audit
        self._placements = placements
        self._rewards = rewards

    async def declare(self) -> None:
        """Let the log say what the configuration says, where that is new."""
        now_ms = self._clock.now_ms()
        known = self._learners.declared
        wanted = {one.id: self._declared(one, now_ms) for one in self._placements if one.learner is not None}
        gone = [_without_inputs(one, now_ms) for placement, one in known.items() if placement not in wanted]
        new = [one for one in wanted.values() if not _same(known.get(one.placement), one)]
        if gone or new:
            await self._journal.write([*gone, *new], now_ms)

    def all(self, tenant: str) -> dict[str, LearnerStatus]:
        """By placement."""
        learners = self._learners
        return {
            placement: LearnerStatus(
                declared, learners.of(tenant, placement), learners.is_frozen(tenant, placement)
            )
            for placement, declared in learners.declared.items()
        }  # fmt: skip

    async def turn(self, tenant: str, placement: str, act: Act, *, actor: str) -> LearnerStatus:
        """Freeze, thaw or reset a tenant's learner; on return it is. `RequestRejected` where there is none."""
        if placement not in self._learners.declared:
            known = ", ".join(self._learners.declared) or "none has one"
            raise RequestRejected("no_learner", f'"{placement}" has no online learner ({known})', status=404)
        await self._audit.note(f"learner.{act}", actor=actor, tenant=tenant, subject=placement)
        now_ms = self._clock.now_ms()
        await self._journal.write([LearnerTurned(now_ms, tenant, placement, act)], now_ms)
        return self.all(tenant)[placement]

    def _declared(self, placement: Placement, now_ms: int) -> LearnerDeclared:
        learner = placement.learner
        assert learner is not None
        worths = {str(kind): worth for kind, worth in sorted(self._rewards.worths.items())}
        return LearnerDeclared(
            now_ms, placement.id, learner.inputs, learner.step, learner.weight_max, learner.frozen,
            self._rewards.window_ms, worths,
        )  # fmt: skip


def _same(known: LearnerDeclared | None, wanted: LearnerDeclared) -> bool:
    return known is not None and _about(known) == _about(wanted)


def _about(one: LearnerDeclared) -> tuple[object, ...]:
    """Everything but when it was said."""
    return tuple(getattr(one, name) for name in one.__struct_fields__ if name != "at_ms")


def _without_inputs(one: LearnerDeclared, now_ms: int) -> LearnerDeclared:
    return LearnerDeclared(
        now_ms, one.placement, (), one.step, one.weight_max, one.frozen, one.window_ms, one.worths
    )
