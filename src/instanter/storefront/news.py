"""A newspaper that does not exist: made-up articles, so that a front page can follow its reader as a shop does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ..sim.chance import Chance
from ..sim.wire import Properties, TrackingEvent, iso
from .shelf import Shelf

NAME: Final = "The Morning Kestrel"
_HOUR_MS: Final = 3_600_000
_WRITERS: Final = ("Ines Halloran", "Tomas Vell", "Aino Berg", "Kofi Adair", "Mara Lindqvist", "Jun Okabe")
_SECOND: Final = (
    "Those who were there tell it differently. Some speak of patience, others of luck, and most of a long winter in "
    "which very little seemed to move at all.",
    "What it will cost, nobody can say yet. The first figures are expected before the end of the quarter, and the "
    "people "
    "who count them have learned to be careful with adjectives.",
    "It began as a note in the margin of something else. Three years later it fills a room, and the room has "
    "become too "
    "small for it.",
    "Critics call it early to celebrate. Friends of the idea answer that it is always early, until one morning it "
    "is late.",
)
ARTICLES: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "World": (
        ("Two valleys agree to share one river", "After forty years of letters, a page and a half that both can sign."),
        ("The island that counts its people by lantern", "On the longest night everybody lights one, and somebody "
            "adds them up."),
        ("A border post becomes a bakery", "Where passports were stamped, bread is: the ovens fit the old "
            "counters exactly."),
        ("Harbour towns plan for a higher tide", "Nine of them pool their money, their maps, and one very good "
            "engineer."),
        ("The mountain railway opens its last tunnel", "Twelve minutes instead of four hours, and no more goats "
            "on the line."),
    ),
    "City": (
        ("Night trams return to the east side", "Every twenty minutes until four, with warm seats and a quiet car."),
        ("The square that lost its cars found its voices", "A year on, shopkeepers who feared the change ask for "
            "more of it."),
        ("Rooftop gardens pass the thousand mark", "From bees to beans: what grows above the fifth floor."),
        ("Old gasworks to hold four hundred flats", "The round towers stay; inside them, rooms without corners."),
        ("Library cards for everybody, at birth", "The smallest reader so far took hers home in a blanket."),
    ),
    "Science": (
        ("A telescope the size of a lake looks up", "Its first picture shows a galaxy that nobody had drawn before."),
        ("Moss that remembers the rain", "How a plant without a brain keeps a diary in its cells."),
        ("The bat that sings in thirds", "A recording made by accident puts a chord where biologists expected a "
            "click."),
        ("Ice cores tell of a summer without sun", "One thin grey line, and a whole village moved south."),
        ("A vaccine that needs no fridge", "Three weeks at thirty degrees, and it still does what it should."),
    ),
    "Sport": (
        ("Rowers win by the length of a spoon", "The closest finish since the course was measured with rope."),
        ("The goalkeeper who knits between matches", "Her hands are the steadiest in the league, and the warmest."),
        ("A marathon run entirely uphill", "Forty-two kilometres, two thousand metres, one descent by cable car."),
        ("Chess club reaches the second division", "They trained against the pigeons in the park, says the captain."),
        ("Skaters want the canal, and the canal freezes", "For the first time in eleven years the long race is on."),
    ),
    "Culture": (
        ("A lost quartet is found inside a piano", "The hammer felt had been wrapped in it since 1911."),
        ("The theatre that plays for one", "One seat, one actor, and a waiting list until spring."),
        ("Painters of the night market", "Six stalls, six brushes, and light that never keeps still."),
        ("A novel written on receipts", "The author kept the shop; the shop kept the novel."),
        ("Why everybody is suddenly singing rounds", "It takes three people and no instrument, and it cannot be "
            "done alone."),
    ),
    "Food": (
        ("The soup that takes four days", "Most of which it spends being left in peace."),
        ("Bread without a recipe", "A baker explains her hands, and why the weather matters."),
        ("In praise of the bitter leaf", "Radicchio, dandelion, chicory: winter salads with a spine."),
        ("A pickle for every month", "Twelve jars, one shelf, and no two alike."),
        ("The best table is the one in the kitchen", "What restaurants learn from people who never wanted to run one."),
    ),
    "Technology": (
        ("The phone that is meant to be repaired", "Nine screws, no glue, and a drawing inside the lid."),
        ("Batteries made of sand and patience", "Slow to fill, slow to empty, and very hard to break."),
        ("A village builds its own network", "Four masts, eighty houses, and a treasurer with a soldering iron."),
        ("Software that forgets on purpose", "What a program keeps, it must explain: the idea spreads."),
        ("The robot that folds fitted sheets", "Nobody knows how it does it. It was shown ten thousand failures."),
    ),
    "Travel": (
        ("Three days along the salt road", "On foot from the pans to the port, with a mule called Tuesday."),
        ("A sleeper train to the edge of the map", "Breakfast comes with the sea, somewhere after the second bridge."),
        ("The inn with eleven keys", "No numbers on the doors. You are given the room that suits you."),
        ("Islands you can walk to, twice a day", "When the water goes out, so do the postmen."),
        ("Where the swallows spend the winter", "A guide to the reed beds, and to keeping very quiet."),
    ),
}


def articles(*, as_of_ms: int) -> Iterator[dict[str, Any]]:
    """Items as `POST /v1/items` takes them, the newest first."""
    number = 0
    for rank in range(max(len(told) for told in ARTICLES.values())):
        for subject, told in ARTICLES.items():
            if rank < len(told):
                title, line = told[rank]
                number += 1
                yield {"id": f"news-{number:03d}", "fields": {
                    "title": title, "category": subject, "author": _WRITERS[number % len(_WRITERS)],
                    "brand": _WRITERS[number % len(_WRITERS)], "minutes": 2 + number % 7,
                    "text": f"{line}\n\n{_SECOND[number % len(_SECOND)]}\n\n{_SECOND[(number + 2) % len(_SECOND)]}",
                    "created_at": iso(as_of_ms - number * _HOUR_MS),
                }}  # fmt: skip


def readings(*, as_of_ms: int, readers: int = 60) -> Iterator[TrackingEvent]:
    """What some made-up readers have read today, each of two subjects."""
    shelf = news_shelf(as_of_ms=as_of_ms)
    subjects = {section.title: section.ids for section in shelf.categories}
    for reader in range(readers):
        chance = Chance(f"reader/{reader}", seed=as_of_ms)
        at_ms = as_of_ms - _HOUR_MS - chance.below(10 * _HOUR_MS)
        liked = chance.sample(tuple(subjects), 2)
        for number in range(3 + chance.below(5)):
            article = chance.pick(subjects[chance.pick(liked)])
            at_ms += 20_000 + chance.below(120_000)
            yield TrackingEvent(
                type="track", event="Article Viewed", message_id=f"m-reader-{as_of_ms}-{reader}-{number}",
                anonymous_id=f"reader-{as_of_ms}-{reader}", timestamp=iso(at_ms),
                properties=Properties(product_id=article))  # fmt: skip


def news_shelf(*, as_of_ms: int) -> Shelf:
    """The newspaper as a shelf."""
    return Shelf.of_items(articles(as_of_ms=as_of_ms), name=NAME, kind="articles")
