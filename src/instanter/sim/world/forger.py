"""Forged names in the simulated world: items that are known by one reference, of one tenant and of two.

Nobody can forge them where references are keyed; here they collide by construction. Whoever comes first is served, and
everybody else is refused aloud: nothing is read, changed or counted under another one's name.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final

from ...engine.loop import Engine
from ...events.envelope import ItemDeleted, ItemPatched, ItemUpserted
from ...foundation.errors import REFERENCE_TAKEN, RequestRejected
from ...foundation.ids import reference
from ..chance import Chance
from .accounts import TENANT, Accounts, Sent, insist
from .people import Person

THIEF: Final = "thief"
"""A tenant whose ids are made to be taken for those of another one."""
TWINS: Final = tuple(
    (tenant, f"twin-{number}-{letter}") for number in range(2)
    for tenant, letter in ((TENANT, "a"), (TENANT, "b"), (THIEF, "c"))
)  # fmt: skip
"""Tenant and id; those with one number have one reference."""
_is_twin = re.compile("[a-z]+\x00(twin-[0-9]+)-[a-z]").fullmatch


def colliding(text: str) -> int:
    """References by which twins cannot be told apart.

    >>> colliding("default\\0twin-1-a") == colliding("thief\\0twin-1-c") != colliding("default\\0twin-0-a")
    True
    """
    twin = _is_twin(text)
    return reference(twin[1] if twin else text)


class Forger:
    """Does one thing after another under names that collide."""

    def __init__(
        self, person: Person, accounts: Accounts, say: Callable[[str], None], read: Callable[[], None],
        take: Callable[[list[Sent]], Awaitable[bool]],
    ) -> None:  # fmt: skip
        self._person = person
        self._accounts = accounts
        self._say = say
        self._read = read
        self._take = take

    async def act(self, engine: Engine, true_ms: int, chance: Chance) -> None:
        """One thing. Raises `Unavailable`."""
        self._read()
        tenant, item = chance.pick(TWINS)
        if tenant == TENANT and chance.happens(0.4):
            await self._send(engine, self._person.views(true_ms, item))
        else:
            now_ms, fields = engine.clock.now_ms(), {"stock": chance.below(3), "title": f"{tenant} {item}"}
            changes: list[ItemUpserted | ItemPatched | ItemDeleted] = [
                ItemUpserted(now_ms, tenant, item, fields), ItemPatched(now_ms, tenant, item, fields),
                ItemDeleted(now_ms, tenant, item),
            ]  # fmt: skip
            await self._change(engine, chance.weighted(changes, (3, 2, 1)))
        self._read()
        self._look(engine)

    async def _change(self, engine: Engine, change: ItemUpserted | ItemPatched | ItemDeleted) -> None:
        tenant, item = change.tenant, change.id
        taken = self._accounts.is_anothers(tenant, item)
        if not taken:
            self._accounts.ask(change)
        try:
            await engine.change_items([change])
            refused = ""
        except RequestRejected as error:
            refused = error.code
        insist(refused == ("unfit_record" if taken else ""), "P2", f"{tenant}'s {item}, taken {taken}: {refused}")
        self._say(f"{type(change).__name__} of {tenant}'s {item}: {refused or 'done'}")

    async def _send(self, engine: Engine, sent: Sent) -> None:
        if not self._accounts.is_anothers(TENANT, sent.item):
            await self._take([sent])
            return
        self._accounts.refused.add(self._accounts.references.of(sent.message_id))
        done = await engine.intake.take([sent.raw], kind=None, tenant=TENANT)
        codes = [one.code for one in done.rejected]
        insist(codes == [REFERENCE_TAKEN], "P2", f"{sent.item} is another one's, and an event about it is {codes}")
        self._say(f"an event about {sent.item} was refused")

    def _look(self, engine: Engine) -> None:
        """Every item is read under its own name, and under no other."""
        catalogue = engine.partition.state.catalogue
        for tenant, item in TWINS:
            found = catalogue.get(tenant, item)
            held = self._accounts.items.get(self._accounts.references.item(tenant, item))
            if held is None or self._accounts.is_anothers(tenant, item):
                insist(found is None, "P2", f"{tenant}'s {item} is not there, and reads {found}")
            else:
                insist(found is not None and found.fields == held.fields, "P2", f"{tenant}'s {item} reads {found}")
