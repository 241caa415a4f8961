"""Where candidates come from: what was looked at together, what is alike, and what everybody likes now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from ..features.roles import FeatureRole
from ..features.together import CATEGORY
from ..foundation.limits import ALIKE_TO_MAX
from ..state.compiled import Ints, Reals
from ..state.layout import Scope
from .base import Found, Source, SourceContext
from .standing import TenantLists

BOUGHT_WITH: Final = "bought_with"
VECTORS: Final = "vectors"
COMPANY = 12
"""Items of a category from which on it is enough company for one of them."""
VALUES_FOLLOWED = 3
"""Values of each top-k that `same_category` follows."""

_NOTHING: Final = Found(np.zeros(0, np.int64), np.zeros(0, np.float64))


class NextItems:
    """What may come next, by what people did one after another: rules and session kNN, see `features.next_items`. The
    person's own items are among them where people return."""

    name = "next_items"
    role: FeatureRole | None = "sequences"

    def candidates(self, context: SourceContext, limit: int) -> Found:
        if context.ahead is None:
            return _NOTHING
        rows, chances = context.ahead.best()
        showable = context.state.catalogue.available[rows] == 1
        return Found(rows[showable][:limit], chances[showable][:limit])


class BoughtWith:
    """What is ordered together with the item of the page, or with what is in the cart, see `features.together`."""

    name = BOUGHT_WITH
    role: FeatureRole | None = "baskets"

    def candidates(self, context: SourceContext, limit: int) -> Found:
        if context.goes_with is None:
            return _NOTHING
        rows, shares = context.goes_with.best()
        showable = context.state.catalogue.available[rows] == 1
        return Found(rows[showable][:limit], shares[showable][:limit])


class CoViewed:
    """What other people looked at in the same session as this person's recent items."""

    name = "co_viewed"
    role: FeatureRole | None = "co_views"

    def candidates(self, context: SourceContext, limit: int) -> Found:
        rows, weights = context.neighbours.rows, context.neighbours.weights
        if not len(rows):
            return _NOTHING
        # A row never belongs to another item, so the neighbours of a tenant's item are that tenant's.
        showable = (rows >= 0) & (context.state.catalogue.available[rows] == 1)
        return Found(rows[showable][:limit], weights[showable][:limit])


class SameCategory:
    """The most popular items with the text fields the person looks at most: category first, in turns.

    The page's own category leads, with the item's other text fields where hardly anything else is of it; then come the
    strongest values of each top-k by a field of the item (category,
    brand and whatever else is declared), the session's before the profile's.
    """

    name = "same_category"
    role: FeatureRole | None = None

    def candidates(self, context: SourceContext, limit: int) -> Found:
        values = list(self._followed(context))
        rows = context.lists.like(values, limit) if values else _NOTHING.rows
        return Found(rows, 1.0 / np.arange(1.0, len(rows) + 1.0))

    def _followed(self, context: SourceContext) -> Iterator[tuple[int, int]]:
        """Values as (text field, reference), the most important first."""
        if context.page_row >= 0:
            of_category = list(self._of_page(context, of_category=True))
            yield from of_category
            alone = not of_category or len(context.lists.like(of_category, COMPANY)) < COMPANY
            if context.by_every_field and alone:
                yield from self._of_page(context, of_category=False)
        for scope in (Scope.SESSION, Scope.PROFILE):
            for spec in context.reader.lists:
                if spec.scope is scope and spec.is_taste:
                    for ref in context.person.top(spec.name)[0][:VALUES_FOLLOWED].tolist():
                        yield spec.by_column, ref

    def _of_page(self, context: SourceContext, *, of_category: bool) -> Iterator[tuple[int, int]]:
        for column, name in enumerate(context.state.schema.attributes):
            if (name == CATEGORY) == of_category:
                refs = context.state.tables.attributes.refs[context.page_row, column].tolist()
                yield from ((column, ref) for ref in refs if ref)


class Content:
    """What is alike in words to the page's item, else to what the person looked at last, the newest counting most.

    It needs nobody to have looked at an item: one that came just now is found like the others.
    """

    name = "content"
    role: FeatureRole | None = None

    def candidates(self, context: SourceContext, limit: int) -> Found:
        if context.page_row >= 0:
            rows = [context.page_row]
        else:
            recent = context.neighbours.recent[:ALIKE_TO_MAX].tolist()
            rows = [row for ref in recent if (row := context.state.find_item(ref)) >= 0]
        return Found(*context.words.of(context.state).alike(context.lists.tenant, rows, limit)) if rows else _NOTHING


class NearVectors:
    """What is near the page's item, else what the person looked at last, by the vectors that the caller loaded."""

    name = VECTORS
    role: FeatureRole | None = None

    def candidates(self, context: SourceContext, limit: int) -> Found:
        if context.page_row >= 0:
            rows = [context.page_row]
        else:
            recent = context.neighbours.recent[:ALIKE_TO_MAX].tolist()
            rows = [row for ref in recent if (row := context.state.find_item(ref)) >= 0]
        return Found(*context.vectors.of(context.state).near(context.lists.tenant, rows, limit)) if rows else _NOTHING


class Listed:
    """A list that stands for everybody of the tenant."""

    def __init__(
        self, name: str, role: FeatureRole | None, read: Callable[[TenantLists], tuple[Ints, Reals | None]]
    ) -> None:
        self.name, self.role = name, role
        self._read = read

    def candidates(self, context: SourceContext, limit: int) -> Found:
        rows, scores = self._read(context.lists)
        rows = rows[:limit]
        return Found(rows, 1.0 / np.arange(1.0, len(rows) + 1.0) if scores is None else scores[:limit])


SOURCES: Final[dict[str, Source]] = {
    source.name: source
    for source in (
        NextItems(),
        CoViewed(),
        SameCategory(),
        NearVectors(),
        Content(),
        Listed("trending", "trending", lambda lists: (lists.trending.rows, lists.trending.scores)),
        Listed("newest", None, lambda lists: (lists.newest.rows, None)),
        Listed("popular", "popularity", lambda lists: (lists.popular.rows, lists.popular.scores)),
        BoughtWith(),
    )
}
"""By the name that placements use, the most important by default first; the caller's list is no source of ours. To add
one: a class with these three names, and a line here. `tests/models/test_sources.py` runs over all of them."""
SOURCES_USUAL: Final = tuple(name for name in SOURCES if name not in (BOUGHT_WITH, VECTORS))
"""Of a placement that names none: what goes with what, and what is near by vectors, is asked for by name."""
