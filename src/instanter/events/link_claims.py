"""What an event says of who is who: its links, for the engine to judge, with ids sealed for those they belong to."""

from __future__ import annotations

import msgspec

from .envelope import Linked, Tied
from .subjects import ANONYMOUS_PREFIX, Subject, Subjects

_encode_ids = msgspec.msgpack.Encoder().encode


class LinkClaim(msgspec.Struct, frozen=True):
    """One link; the fields of `envelope.Linked`, which it becomes if that is news."""

    kind: int
    """One of `envelope.Tied`."""
    cell: int
    owner: int
    sealed_ids: tuple[bytes, bytes]
    """Of the cell (of a claim, of its device) and the owner (of a claim, the user)."""
    user: int = 0

    def record(self, at_ms: int, tenant: str, kind: int | None = None) -> Linked:
        """The record of the log."""
        cell_id, owner_id = self.sealed_ids
        return Linked(
            at_ms, tenant, self.cell, self.owner, _encode_ids({"cell": cell_id, "owner": owner_id}), sealed=True,
            kind=int(self.kind if kind is None else kind), user=self.user,
        )  # fmt: skip


def sign_in(device: Subject, user: Subject) -> LinkClaim:
    """The user has signed in on the device."""
    return LinkClaim(Tied.SIGN_IN, device.cell, user.cell, (device.sealed_id, user.sealed_id))


def user_claim(claim: Subject, device: Subject, user: Subject) -> LinkClaim:
    """The device says that it is the user, which nobody has confirmed: `claim` is where that lies."""
    return LinkClaim(Tied.CLAIM, claim.cell, device.cell, (device.sealed_id, user.sealed_id), user.cell)


def alias(subjects: Subjects, tenant: str, previous_id: str, owner: Subject) -> tuple[bytes, tuple[LinkClaim, ...]]:
    """The previousId sealed, and the links of an alias to `owner`.

    A previousId is an anonymous id or a user id, and nothing in the event says which: both cells are linked. The one
    that nobody ever used holds nothing, so its link changes nothing.
    """
    device = subjects.subject(tenant, ANONYMOUS_PREFIX + previous_id)
    user = subjects.subject(tenant, previous_id)
    if user.cell == owner.cell:
        return device.sealed_id, (sign_in(device, owner),)
    one_person = LinkClaim(Tied.ALIAS, user.cell, owner.cell, (user.sealed_id, owner.sealed_id))
    return device.sealed_id, (sign_in(device, owner), one_person)
