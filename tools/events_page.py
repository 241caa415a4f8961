"""Write docs/events.md: every known event name with what it means and what built-in hears it.

    python tools/events_page.py docs/events.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from instanter.events.meanings import MEANINGS, Meaning, Role
from instanter.features.declaration import DEFAULT_FEATURES
from instanter.feedback.outcomes import OUTCOME_OF

_OPENING = """\
# Event names

What the known names mean, and what they change. A name is known in any case, with spaces, underscores, dashes or dots,
and with its verb first: `product_viewed`, `productViewed` and `Viewed Product` are Product Viewed. The spellings beside
it are those of e-commerce tracking in its first version, of Google Analytics 4, Matomo, Shopify and others. Where one
of them means something else at yours, `[events.names]` of the configuration comes first. Any other name is kept too,
and counts where a feature names it. A page or screen that names an item is a view of that item.

This page is written by `make docs` from `src/instanter/events/meanings.py` and the built-in features.

An order is one order by its `order_id` (also `transaction_id`, `order_number` and others), whatever the messageIds:

- Completed twice, it counts once; completed again more than `dedup.window_h` later, `orders` still counts it once.
- Changed (Order Updated), it stays the one order. Where its completion was never told, the change counts as it. Items
  and amounts are those of the completion.
- Cancelled, it is out of `orders`, and what the event names leaves `bought_items` and `buys`. Where it names no items,
  all items of that order leave `bought_items`; their `buys` stay, since no item remembers its orders.
- Refunded, likewise; where the refund names items, it takes back only these, and the order stays an order.
- Any order of arrival within `lateness.window_h` comes to the same. `orders` tells a person's newest four orders apart.
- Claimed (by a public key), it keeps its items out of that device's lists, and counts nowhere else.

An item is in the cart, or among the wishes, as often as it was put there: taking one piece out takes the item out.
What `trending` and `popular` have counted stays: they say what was wanted.
"""
_NOTHING = "kept in the log; nothing built in hears it"


def effect(meaning: Meaning) -> str:
    """What the event changes, in the names of features and outcomes."""
    gives = [f"`{one.name}`" for one in DEFAULT_FEATURES if meaning.name in one.on]
    takes = [f"`{one.name}`" for one in DEFAULT_FEATURES if meaning.name in one.takes_back]
    outcome = OUTCOME_OF.get(meaning.name)
    parts = [", ".join(gives)] if gives else []
    parts += ["taken out of " + ", ".join(takes)] if takes else []
    parts += [f"outcome `{outcome.name.lower()}`"] if outcome is not None and outcome.name else []
    return "; ".join(parts) or _NOTHING


def page() -> str:
    """The whole page."""
    return "\n".join([_OPENING, *_tables()]).rstrip("\n") + "\n"


def _tables() -> Iterator[str]:
    for family, rows in groupby(MEANINGS, key=lambda meaning: meaning.family):
        yield f"## {family[0].upper()}{family[1:]}\n"
        yield "| event | means | names items | also written | changes |"
        yield "|---|---|---|---|---|"
        for row in rows:
            means = "" if row.role is Role.OTHER else row.role.value
            spellings = ", ".join(f"`{spelling}`" for spelling in row.spellings)
            yield f"| {row.name} | {means} | {'yes' if row.items else ''} | {spellings} | {effect(row)} |"
        yield ""


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
