"""Who a decision is about: the cells that are read for whoever asks, as far as they have agreed to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..decisions.request import AboutPerson
from ..events.identifiers import identifiers_of
from ..events.statements import Statements
from ..events.subjects import ANONYMOUS_PREFIX
from .gate import Agreement, Agreements
from .partition import Partition
from .profile import most_active


class AskedAbout(NamedTuple):
    """Who a decision is about: nobody without their agreement."""

    agreement: Agreement
    cells: Sequence[int] = ()
    known_as: str = ""
    """The id whose subject the receipt is sealed for, as an event's body is; "" for nobody."""
    cell: int = 0
    """The pseudonym behind it."""


class PersonLookup:
    """Looks people up for decisions on one partition, whoever writes its log."""

    def __init__(
        self, partition: Partition, find: Callable[[str, str], int], agreements: Agreements, statements: Statements
    ) -> None:
        """`find` is that of `events.subjects.Subjects`."""
        self._partition = partition
        self._find = find
        self._agreements = agreements
        self._statements = statements

    def asked_about(self, tenant: str, request: AboutPerson, *, gpc: bool) -> AskedAbout:
        """Who that is as things stand now. With `gpc`, or without their agreement, it is nobody."""
        identifiers = identifiers_of(request.device, request.user)
        stated = self._statements.in_context(request.context)
        agreement = self._agreements.agreement(tenant, identifiers, stated=stated, gpc=gpc)
        if not agreement.personal:
            return AskedAbout(agreement)
        cells = self.cells_of(tenant, user_id=request.user, anonymous_id=request.device)
        for identifier in reversed(identifiers):
            if cell := self._find(tenant, identifier):
                return AskedAbout(agreement, cells, identifier, cell)
        return AskedAbout(agreement, cells)

    def cells_of(self, tenant: str, *, user_id: str | None, anonymous_id: str | None) -> list[int]:
        """The cells that are read for whoever asks: the user's, and the most recently active of the others. Of a device
        that others have used as well nothing is read for a user."""
        device = self._find(tenant, ANONYMOUS_PREFIX + anonymous_id) if anonymous_id else 0
        user = self._find(tenant, user_id) if user_id else 0
        links = self._partition.links
        cells = links.together(user, device) if user_id else links.cells(device) if device else []
        return most_active(self._partition.state, cells, first=user or device)
