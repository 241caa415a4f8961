"""Who gives out access keys, places models, turns learners, and what another writer leaves in the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Literal

from ...engine.loop import Engine
from ...events.envelope import CONTROL_PARTITION, LearnerDeclared, ModelPlaced, read_record
from ...privacy.access import Grant
from ..chance import Chance
from .accounts import MINUTE_MS, TENANT, Accounts, insist
from .odd import odd_payload

PLACEMENT: Final = "home.recommended"
_ELSEWHERE: Final = ("home.hero", "sim.side")
"""Placements to which the configuration gives no learner."""
_INPUTS: Final = (("item.price",), ("item.recency", "item.price"), ("item.recency", "item.price", "item.stock"))
_ACTS: Final[tuple[Literal["freeze", "thaw", "reset"], ...]] = ("freeze", "thaw", "reset")


class Administrator:
    """Does one thing after another; what it is told of is in the books before."""

    def __init__(
        self, chance: Chance, accounts: Accounts, say: Callable[[str], None], read: Callable[[], None]
    ) -> None:
        self._chance = chance
        self._accounts = accounts
        self._say = say
        self._read = read
        self._number = 0

    async def act(self, engine: Engine) -> None:
        """One thing. Raises `Unavailable`."""
        acts: list[Callable[[Engine], Awaitable[None]]] = [
            self._issue_key, self._revoke_key, self._turn_learner, self._place_model, self._leave_odd
        ]  # fmt: skip
        self._number += 1
        await self._chance.weighted(acts, (2, 1, 1, 1, 3))(engine)

    async def _issue_key(self, engine: Engine) -> None:
        name = f"key-{self._number}"
        self._accounts.asked_for.add(name)
        key, text = await engine.credentials.issue_key(Grant(name, ("decide",)), tenant=TENANT, actor="sim")
        self._read()
        insist(key.id in self._accounts.keys, "P1", f"{name} was given out and is not in the log")
        insist(engine.partition.access_keys.find(text) == key, "P1", f"{name} was given out and does not count")
        self._say(f"issued {name}")

    async def _revoke_key(self, engine: Engine) -> None:
        keys = sorted(self._accounts.keys)
        if not keys:
            return
        key_id = self._chance.pick(keys)
        self._accounts.asked_for.add(key_id)
        await engine.credentials.revoke_key(TENANT, key_id, actor="sim")
        self._read()
        insist(key_id not in self._accounts.keys, "P1", f"{key_id} was revoked and the log does not say so")
        self._say(f"revoked {key_id}")

    async def _turn_learner(self, engine: Engine) -> None:
        act = self._chance.pick(_ACTS)
        shown = await engine.learners.turn(TENANT, PLACEMENT, act, actor="sim")
        self._read()
        declared = self._accounts.declared.get(PLACEMENT)
        frozen = act == "freeze" or (declared is not None and declared.frozen)
        insist(act == "reset" or shown.frozen is frozen, "P1", f"the learner was to {act}")
        self._say(f"the learner was told to {act}")

    async def declare_learner(self, engine: Engine, chance: Chance) -> None:
        """A placement gets a learner, another one, or loses it; that of the configuration stays one. As a record alone:
        the next start declares what the configuration says again."""
        placement, now_ms = chance.pick((PLACEMENT, *_ELSEWHERE)), engine.clock.now_ms()
        inputs = () if placement != PLACEMENT and chance.happens(0.3) else chance.pick(_INPUTS)
        declared = LearnerDeclared(
            now_ms, placement, inputs, chance.pick((0.1, 0.3)), 2.0, chance.happens(0.2),
            chance.pick((MINUTE_MS, 60 * MINUTE_MS)), {"view": 1.0, "cart": 3.0},
        )  # fmt: skip
        await engine.journal.write([declared], now_ms)
        self._read()
        known = self._accounts.declared.get(placement)
        insist((known.inputs if known else ()) == inputs, "P1", f"{placement} was to learn from {inputs}, not {known}")
        if inputs and placement != PLACEMENT and chance.happens(0.5):
            shown = await engine.learners.turn(TENANT, placement, "freeze", actor="sim")
            self._read()
            frozen = shown.frozen and placement in self._accounts.frozen
            insist(frozen, "P1", f"the learner was to freeze in {placement}")
        self._say(f"{placement} learns from {inputs}")

    async def _place_model(self, engine: Engine) -> None:
        """A model that is not there: another one stands in. As a record alone, since the door would look for it."""
        model = self._chance.pick(("trees@1", "trees@2", ""))
        now_ms = engine.clock.now_ms()
        self._accounts.asked_for.add(model)
        await engine.journal.write([ModelPlaced(now_ms, TENANT, "home.hero", model)], now_ms)
        self._say(f"placed {model}")

    async def _leave_odd(self, engine: Engine) -> None:
        """A frame that is right around a record that is not: nobody feels it."""
        now_ms = engine.clock.now_ms()
        payload = odd_payload(self._number, now_ms, TENANT, self._chance)
        self._accounts.odd.add(payload)
        passed_over = engine.partition.passed_over
        position = engine.journal.extend([(CONTROL_PARTITION, now_ms, payload, read_record(payload))])
        await engine.journal.durable(position)
        await engine.journal.folded(position)
        insist(engine.partition.passed_over > passed_over, "P2", f"what was left at {position} was folded")
        self._say(f"passed over {position}")
