"""The catalogue and its feed: replacing the whole of it safely, and changes that are on their way into the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ..events.envelope import ItemDeleted
from ..events.items import FieldReader
from ..foundation.clock import Clock
from ..foundation.errors import Overloaded, RequestRejected
from ..foundation.ids import Ids
from ..foundation.limits import (
    ITEM_DELETIONS_PER_WRITE_MAX,
    ITEM_FIELDS_BYTES_MAX,
    REPLACES_OPEN_MAX,
    SHOWN_ID_CHARS,
)
from ..state.compiled import Ints
from .journal import Journal
from .partition import Partition

REPLACE_IDLE_MS = 6 * 3_600_000
"""A replace that nothing was sent for in so long is over, and has deleted nothing."""
DELETED_SHARE_MAX = 0.5
"""A replace that would delete more of what was there when it began wants to be told so once more."""
_TOKEN_BYTES = 9
_DELETION_BYTES = 64
"""Of the record of a deleted item beside its id, at most."""


class CatalogueOptions(msgspec.Struct, frozen=True):
    """What is declared of catalogues."""

    currency: str = ""
    """What prices are in, where it does not go by the first item that says so."""
    public_fields: frozenset[str] | None = None
    """The fields that public keys see; None: all."""


class Replaced(msgspec.Struct, frozen=True):
    """What became of a replace."""

    deleted: int
    position: int


class Coming(NamedTuple):
    """New items, those of one tenant and of all, and bytes that are on their way into the catalogue."""

    own: int
    items: int
    more_bytes: int


class _Replace(msgspec.Struct):
    """A replace that goes on: what was there when it began, and what the feed has named since."""

    token: str
    at_ms: int
    there: Ints
    """In ascending order."""
    named: npt.NDArray[np.bool_]
    """In parallel to `there`: what a feed names beyond that is not kept, however much it is."""
    unreadable: int = 0
    """Items of the feed of which nobody can tell which they are."""


class CatalogueFeeds:
    """What is known of catalogues beside their items, for as long as the process runs."""

    def __init__(
        self, *, partition: Partition, journal: Journal, clock: Clock, ids: Ids, options: CatalogueOptions
    ) -> None:
        self.options = options
        self._catalogue = partition.state.catalogue
        self._numbers = partition.state.schema.numbers
        self._texts = partition.state.schema.attributes
        self._partition = partition
        self._journal = journal
        self._clock = clock
        self._ids = ids
        self._replaces: dict[str, _Replace] = {}
        self._changing: dict[tuple[str, str], int] = {}
        """Item -> bytes of its changes that are not folded yet."""
        self._coming = Coming(0, 0, 0)
        self._coming_own: dict[str, int] = {}

    def reader(self, tenant: str) -> FieldReader:
        """Reads fields of a tenant's items by what its items are so far."""
        return FieldReader(
            self._catalogue.types_of(tenant), numbers=self._numbers, texts=self._texts, currency=self.options.currency
        )

    # Changing one item.

    @contextmanager
    def changing(self, tenant: str, item_id: str, *, result_bytes: int, change_bytes: int) -> Iterator[None]:
        """While a change of an item is on its way: what it results in is bounded, whoever changes it too.

        Raises `RequestRejected` (413), or `Overloaded` where it would be too large only with other changes.
        """
        named = (tenant, item_id)
        others = self._changing.get(named, 0)
        if result_bytes > ITEM_FIELDS_BYTES_MAX:
            reason = f'item "{item_id[:SHOWN_ID_CHARS]}" would have more than {ITEM_FIELDS_BYTES_MAX} bytes of fields'
            raise RequestRejected("too_large", reason, status=413)
        if result_bytes + others > ITEM_FIELDS_BYTES_MAX:
            raise Overloaded(f'other changes of item "{item_id[:SHOWN_ID_CHARS]}" are being written')
        with self._under_way([(named, change_bytes)]):
            yield

    def coming(self, tenant: str) -> Coming:
        """What is on its way into the catalogue, and not in it yet."""
        return Coming(self._coming_own.get(tenant, 0), self._coming.items, self._coming.more_bytes)

    @contextmanager
    def putting(self, tenant: str, fields_bytes: Mapping[str, int], *, new: int, more_bytes: int) -> Iterator[None]:
        """While items are on their way whole, `new` of them new: what is asked meanwhile is judged with them, a change
        of one of them and a request that would fit only without them."""
        self._count_coming(tenant, new, more_bytes)
        try:
            with self._under_way([((tenant, item_id), size) for item_id, size in fields_bytes.items()]):
                yield
        finally:
            self._count_coming(tenant, -new, -more_bytes)

    def _count_coming(self, tenant: str, new: int, more_bytes: int) -> None:
        own = self._coming_own.pop(tenant, 0) + new
        if own:
            self._coming_own[tenant] = own
        self._coming = Coming(0, self._coming.items + new, self._coming.more_bytes + more_bytes)

    @contextmanager
    def _under_way(self, changes: Sequence[tuple[tuple[str, str], int]]) -> Iterator[None]:
        for named, size_bytes in changes:
            self._changing[named] = self._changing.get(named, 0) + size_bytes
        try:
            yield
        finally:
            for named, size_bytes in changes:
                left = self._changing[named] - size_bytes
                if left:
                    self._changing[named] = left
                else:
                    del self._changing[named]

    # Replacing all.

    def begin(self, tenant: str) -> str:
        """Begin to replace a tenant's catalogue: its token. One that was begun before is over, and deletes nothing."""
        now_ms = self._clock.now_ms()
        self._replaces = {
            of: one for of, one in self._replaces.items() if of != tenant and now_ms - one.at_ms < REPLACE_IDLE_MS
        }
        if len(self._replaces) >= REPLACES_OPEN_MAX:
            raise Overloaded("other catalogues are being replaced", retry_after_s=60)
        token = f"r_{self._ids.token(_TOKEN_BYTES)}"
        there = np.sort(self._catalogue.refs_of(tenant))
        self._replaces[tenant] = _Replace(token, now_ms, there, np.zeros(len(there), np.bool_))
        return token

    def check(self, tenant: str, token: str) -> None:
        """`RequestRejected` (404) unless this is the replace that goes on."""
        self._of(tenant, token)

    def note_put(self, tenant: str, item_ids: Sequence[str], *, unreadable: int = 0) -> None:
        """These items are there now, or have been told to be: a replace that goes on keeps them, whoever named them.

        `unreadable`: so many more were sent that nobody can tell which they are.
        """
        replace = self._replaces.get(tenant)
        if replace is not None:
            replace.at_ms = self._clock.now_ms()
            replace.unreadable += unreadable
            refs = np.array([self._catalogue.references.item(tenant, item_id) for item_id in item_ids], np.int64)
            places = np.searchsorted(replace.there, refs)
            within = places < len(replace.there)
            refs, places = refs[within], places[within]
            replace.named[places[replace.there[places] == refs]] = True

    async def commit(self, tenant: str, token: str, *, force: bool) -> Replaced:
        """Delete what was there when the replace began and was not named since. Can be asked again if it breaks off.

        Raises `RequestRejected` (409) where that is more than half, or where the feed had items without an id, unless
        `force` says that it is meant.
        """
        replace = self._of(tenant, token)
        names = [name for ref in replace.there[~replace.named].tolist()
                 if (name := self._catalogue.name_of(tenant, ref)) is not None]  # fmt: skip
        if not force:
            _check_meant(replace, len(names))
        for first in range(0, len(names), ITEM_DELETIONS_PER_WRITE_MAX):
            await self.delete(tenant, names[first : first + ITEM_DELETIONS_PER_WRITE_MAX])
        if self._replaces.get(tenant) is replace:
            del self._replaces[tenant]
        return Replaced(len(names), self._partition.position)

    async def delete(self, tenant: str, item_ids: Sequence[str]) -> int:
        """Take items out; on return no decision shows them. The position behind that."""
        if item_ids:
            now_ms = self._clock.now_ms()
            size_bytes = sum(_DELETION_BYTES + len(item_id.encode()) for item_id in item_ids)
            self._journal.check_room(size_bytes, entries=len(item_ids))
            await self._journal.write([ItemDeleted(now_ms, tenant, item_id) for item_id in item_ids], now_ms)
        return self._partition.position

    def _of(self, tenant: str, token: str) -> _Replace:
        replace = self._replaces.get(tenant)
        if replace is None or replace.token != token:
            reason = "that replace is over: another one was begun, or the server was; begin again, nothing was deleted"
            raise RequestRejected("unknown_replace", reason, status=404)
        return replace


def _check_meant(replace: _Replace, deleted: int) -> None:
    there = len(replace.there)
    if deleted > there * DELETED_SHARE_MAX:
        reason = (
            f"it would delete {deleted:,} of the {there:,} items that were there when it began; nothing was deleted: "
            "send the rest of the feed first, or commit with force=true if that is meant"
        )
        raise RequestRejected("too_many_deletions", reason, status=409)
    if deleted and replace.unreadable:
        reason = (
            f"{replace.unreadable:,} items of the feed had no id that can be read, and {deleted:,} would be deleted, "
            "perhaps those; nothing was deleted: send them again, or commit with force=true"
        )
        raise RequestRejected("unreadable_items", reason, status=409)
