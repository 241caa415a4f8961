"""A shop's evening: views, carts and purchases, two hours of near silence, then a burst of 500 events a minute.

Feeds the log of a real multi-category shop to a server of its own, strictly in time order: in batches as fast as it
takes them up to the cut, and from there one by one, each view being guessed by `POST /v1/decide` before it is fed.
Prints the sessions the engine found, how it stood silence and burst, which rungs answered and how often the next
item was among the twelve shown, and that nothing is late or lost.
"""

from __future__ import annotations

import csv
import gzip
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ranking import MostSeen, first_of, interval, mean, quantile, reciprocal_rank
from runner import Client, JsonObject, RunnerError, Server, cut_at_share, iso, main, time_ms, track

HERE = Path(__file__).resolve().parent
CUT_SHARE = 0.8
SHOWN = 12
HOME, SIMILAR = "home.recommended", "product.similar"
SILENCE_FROM_MS, SILENCE_TO_MS = time_ms("2019-10-01T00:20Z"), time_ms("2019-10-01T02:17Z")
SESSION_GAP_MS = 30 * 60_000
STRETCH_MS = 5 * 60_000
"""Sessions are looked at after each such part of the evening: well within the gap that ends one."""

NAMES = {"view": "Product Viewed", "cart": "Product Added", "purchase": "Order Completed"}


class Happening(NamedTuple):
    """One line of the log. `category` is the dotted path, or the category's number where there is none."""

    id: str
    at_ms: int
    kind: str
    item: str
    category: str
    brand: str
    price: float
    user: str
    user_session: str


class Guess(NamedTuple):
    """What was shown to somebody about to view `wanted`, by placement."""

    wanted: str
    shown: dict[str, list[str]]
    rungs: dict[str, str]


class Burst(NamedTuple):
    """What happened between the silence and the cut, fed without a pause; freshness is the last minute's by then."""

    events: int
    seconds: float
    freshness_ms: tuple[float, float]

    @property
    def events_per_s(self) -> float:
        return self.events / self.seconds if self.seconds else 0.0


def read_log(folder: Path, events_max: int | None = None) -> list[Happening]:
    """The log in time order; with `events_max` only its beginning."""
    try:
        with gzip.open(folder / "events.csv.gz", "rt", encoding="utf-8", newline="") as file:
            rows = [happening_of(number, row) for number, row in enumerate(csv.DictReader(file))]
    except FileNotFoundError:
        raise RunnerError("the data set is not complete: there is no file events.csv.gz") from None
    return sorted(rows, key=lambda happening: happening.at_ms)[:events_max]


def happening_of(number: int, row: dict[str, str]) -> Happening:
    """A line of the file; lines have no id of their own, so their number is it."""
    at = datetime.strptime(row["event_time"], "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    return Happening(
        f"line-{number}", round(at.timestamp() * 1_000), row["event_type"], row["product_id"],
        row["category_code"] or row["category_id"], row["brand"], float(row["price"]), row["user_id"],
        row["user_session"],
    )  # fmt: skip


def event_of(happening: Happening) -> JsonObject:
    """The line as a tracking event. No session is sent: finding them is the engine's work."""
    product = {"product_id": happening.item, "price": happening.price, "quantity": 1}
    if happening.kind == "purchase":
        properties = {"order_id": happening.id, "revenue": happening.price, "products": [product]}
    else:
        properties = product
    return track(
        NAMES[happening.kind], message_id=happening.id, user_id=happening.user, at_ms=happening.at_ms,
        properties=properties,
    )  # fmt: skip


def item_of(happening: Happening) -> JsonObject:
    """The item of a line as the catalogue's; fields the log leaves empty are left out."""
    fields = {"category": happening.category, "brand": happening.brand, "price": happening.price}
    return {"id": happening.item, "fields": {name: value for name, value in fields.items() if value != ""}}


class Shop:
    """Feeds the log; an item comes into the catalogue when it is seen first, before its event."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: set[str] = set()

    def feed(self, happenings: Sequence[Happening]) -> None:
        new = {happening.item: item_of(happening) for happening in reversed(happenings)}
        self._client.put_items([item for name, item in reversed(new.items()) if name not in self._known])
        self._known.update(new)
        self._client.feed(map(event_of, happenings))


class SessionLedger:
    """Which of a person's events the engine has put into one session, told from the events in their live session.

    >>> ledger = SessionLedger()
    >>> ledger.note("ada", ["x", "x"], in_session=2); ledger.note("ada", ["x", "y"], in_session=1)
    >>> ledger.sessions, ledger.split, ledger.joined
    (2, 0, 0)
    >>> ledger.note("ada", ["x"], in_session=2)
    >>> ledger.split, ledger.joined
    (1, 1)
    """

    def __init__(self) -> None:
        self.sessions = 0
        self._live: dict[str, tuple[int, int]] = {}
        self._theirs: dict[str, set[int]] = {}
        self._ours: dict[int, set[str]] = {}

    def note(self, user: str, user_sessions: Sequence[str], *, in_session: int) -> None:
        """The person's new events, by the log's own sessions; `in_session` events are in their live session now."""
        session, events = self._live.get(user, (0, 0))
        is_same = session > 0 and in_session == events + len(user_sessions)
        first_of_new = len(user_sessions) if is_same else max(len(user_sessions) - in_session, 0)
        for place, theirs in enumerate(user_sessions):
            if session == 0 or place == first_of_new:
                self.sessions += 1
                session = self.sessions
            self._theirs.setdefault(theirs, set()).add(session)
            self._ours.setdefault(session, set()).add(theirs)
        self._live[user] = session, in_session

    @property
    def split(self) -> int:
        """Sessions of the log that are more than one of the engine's."""
        return sum(len(ours) > 1 for ours in self._theirs.values())

    @property
    def joined(self) -> int:
        """Sessions of the engine that are more than one of the log's."""
        return sum(len(theirs) > 1 for theirs in self._ours.values())


class Evening:
    """One run of the log through a server."""

    def __init__(self, log: Sequence[Happening], cut_ms: int, client: Client) -> None:
        self._log = log
        self._cut_ms = cut_ms
        self._client = client
        self._shop = Shop(client)
        self._viewed: dict[str, str] = {}
        self.sessions = SessionLedger()
        self.guesses: list[Guess] = []
        self.burst = Burst(0, 0.0, (0.0, 0.0))

    def play(self) -> None:
        """Everything, in time order."""
        for stretch in stretches(self._log):
            self._feed_at_once([one for one in stretch if one.at_ms < self._cut_ms])
            for happening in stretch:
                if happening.at_ms >= self._cut_ms:
                    self._guess_and_feed(happening)
            self._note_sessions(stretch)

    def _feed_at_once(self, happenings: Sequence[Happening]) -> None:
        in_burst = [one for one in happenings if one.at_ms >= SILENCE_TO_MS]
        self._shop.feed(happenings[: len(happenings) - len(in_burst)])
        before_s = self._client.feeding_s
        self._shop.feed(in_burst)
        if in_burst:
            events = self.burst.events + len(in_burst)
            seconds = self.burst.seconds + self._client.feeding_s - before_s
            self.burst = Burst(events, seconds, freshness_ms(self._client.metrics()))
        self._viewed.update((one.user, one.item) for one in happenings if one.kind == "view")

    def _guess_and_feed(self, happening: Happening) -> None:
        """A view of what is on the screen already is no guess to make."""
        current = self._viewed.get(happening.user, "")
        if happening.kind == "view":
            if happening.item != current:
                self.guesses.append(guessed(self._client.ask("/v1/decide", question(happening, current)), happening))
            self._viewed[happening.user] = happening.item
        self._shop.feed([happening])

    def _note_sessions(self, stretch: Sequence[Happening]) -> None:
        by_user: dict[str, list[str]] = {}
        for happening in stretch:
            by_user.setdefault(happening.user, []).append(happening.user_session)
        for user, user_sessions in by_user.items():
            profile = self._client.get(f"/v1/profiles/{user}")
            self.sessions.note(user, user_sessions, in_session=int(profile["features"]["session_events"]))


def gap_sessions(log: Iterable[Happening]) -> int:
    """Sessions counted without the engine: one ends when nothing comes for longer than half an hour."""
    newest: dict[str, int] = {}
    sessions = 0
    for happening in log:
        if happening.user not in newest or happening.at_ms - newest[happening.user] > SESSION_GAP_MS:
            sessions += 1
        newest[happening.user] = happening.at_ms
    return sessions


def stretches(log: Iterable[Happening]) -> Iterator[list[Happening]]:
    """The log in parts of at most `STRETCH_MS`."""
    part: list[Happening] = []
    for happening in log:
        if part and happening.at_ms - part[0].at_ms >= STRETCH_MS:
            yield part
            part = []
        part.append(happening)
    if part:
        yield part


def question(happening: Happening, current: str) -> JsonObject:
    """What would the engine show this person now, at home and beside the item last viewed, if there is one?"""
    placements: list[JsonObject] = [{"id": HOME, "limit": SHOWN}]
    if current:
        placements.append({"id": SIMILAR, "limit": SHOWN, "item": current})
    return {"userId": happening.user, "timestamp": iso(happening.at_ms), "placements": placements}


def guessed(reply: JsonObject, happening: Happening) -> Guess:
    """The reply, beside what the person then viewed."""
    placed = reply["placements"]
    shown = {name: [item["id"] for item in one["items"]] for name, one in placed.items()}
    return Guess(happening.item, shown, {name: one["servedBy"] for name, one in placed.items()})


def plain_guesses(log: Sequence[Happening], cut_ms: int) -> list[Guess]:
    """The same views guessed without the engine: by views so far, in all and in the category last viewed."""
    seen, viewed, category = MostSeen(), dict[str, str](), dict[str, str]()
    guesses = []
    for happening in log:
        if happening.kind != "view":
            continue
        current = viewed.get(happening.user, "")
        if happening.at_ms >= cut_ms and happening.item != current:
            popular = seen.best(SHOWN, without={current})
            shown = {f"{HOME}.popularity": popular}
            if current:
                alike = seen.best(SHOWN, group=category[current], without={current})
                shown[f"{SIMILAR}.popularity"] = popular
                shown[f"{SIMILAR}.same_category"] = first_of([*alike, *popular], SHOWN)
            guesses.append(Guess(happening.item, shown, {}))
        seen.see(happening.item, happening.category)
        viewed[happening.user], category[happening.item] = happening.item, happening.category
    return guesses


def hits(guesses: Sequence[Guess]) -> dict[str, float]:
    """Hit rate and mean reciprocal rank of the first twelve, by placement."""
    figures: dict[str, float] = {}
    for name in sorted({name for guess in guesses for name in guess.shown}):
        ranks = [reciprocal_rank(one.shown[name][:SHOWN], one.wanted) for one in guesses if name in one.shown]
        figures[f"{name}.hit_at_12"] = mean([float(rank > 0) for rank in ranks])
        figures[f"{name}.mrr_at_12"] = mean(ranks)
    return figures


def more_hits(guesses: Sequence[Guess], plain: Sequence[Guess]) -> dict[str, float]:
    """The engine's hit rate minus that of each plain list, and its 95 % interval; both guess the same views."""
    figures: dict[str, float] = {}
    for name in (f"{HOME}.popularity", f"{SIMILAR}.same_category", f"{SIMILAR}.popularity"):
        placement, _, _ = name.rpartition(".")
        more = [
            float(ours.wanted in ours.shown[placement]) - float(theirs.wanted in theirs.shown[name])
            for ours, theirs in zip(guesses, plain, strict=True) if name in theirs.shown
        ]  # fmt: skip
        low, high = interval(more, resamples=2_000) if more else (0.0, 0.0)
        figures |= {f"{name}.more": mean(more), f"{name}.more_low": low, f"{name}.more_high": high}
    return figures


def rung_shares(guesses: Sequence[Guess]) -> dict[str, float]:
    """Share of each rung among the answers."""
    rungs = Counter(rung for guess in guesses for rung in guess.rungs.values())
    return {f"rung.{name}": count / rungs.total() for name, count in sorted(rungs.items())}


def freshness_ms(metrics: dict[str, float]) -> tuple[float, float]:
    """Median and 99th percentile of the time from a request with events to their being read by decisions."""
    name = 'instanter_stage_seconds_recent{{quantile="{}",stage="freshness"}}'
    return metrics[name.format(0.5)] * 1_000, metrics[name.format(0.99)] * 1_000


def folded(metrics: dict[str, float]) -> dict[str, int]:
    """Events folded, by what became of them: "applied", "duplicate", "late_for_windows" ..."""
    prefix, suffix = 'instanter_events_folded_total{verdict="', '"}'
    return {
        name.removeprefix(prefix).removesuffix(suffix): int(value)
        for name, value in metrics.items() if name.startswith(prefix)
    }  # fmt: skip


def run(folder: Path, cut_ms: int | None, quiet: bool, *, events_max: int | None = None) -> dict[str, Any]:
    """The whole run; the result for the last line."""
    log = read_log(folder, events_max)
    if cut_ms is None:
        cut_ms = cut_at_share([happening.at_ms for happening in log], CUT_SHARE)
    with Server(HERE / "instanter.toml") as server:
        client = Client(server.port)
        try:
            evening = Evening(log, cut_ms, client)
            evening.play()
            metrics = client.metrics()
        finally:
            client.close()
    verdicts, plain = folded(metrics), plain_guesses(log, cut_ms)
    applied = verdicts["applied"]
    figures: dict[str, float] = {
        "sessions": evening.sessions.sessions,
        "sessions_split": evening.sessions.split,
        "sessions_joined": evening.sessions.joined,
        "events_sent": client.events_sent,
        "events_lost": client.events_sent - sum(verdicts.values()),
        "events_not_applied": sum(verdicts.values()) - applied,
        "burst_events": evening.burst.events,
        "burst_events_per_s": evening.burst.events_per_s,
        "batched_freshness_p50_ms": evening.burst.freshness_ms[0],
        "batched_freshness_p99_ms": evening.burst.freshness_ms[1],
        "freshness_p50_ms": freshness_ms(metrics)[0],
        "freshness_p99_ms": freshness_ms(metrics)[1],
        "ask_p50_ms": quantile(client.asking_s, 0.5) * 1_000,
        "ask_p99_ms": quantile(client.asking_s, 0.99) * 1_000,
        **rung_shares(evening.guesses),
        **hits(evening.guesses),
        **more_hits(evening.guesses, plain),
    }
    baselines: dict[str, float] = {
        "user_sessions": len({happening.user_session for happening in log}),
        "gap_sessions": gap_sessions(log),
        **hits(plain),
    }  # fmt: skip
    if not quiet:
        _show(log, cut_ms, len(evening.guesses), figures, baselines)
    return {
        "cut": iso(cut_ms), "n": len(evening.guesses), "metrics": _rounded(figures), "baselines": _rounded(baselines),
    }  # fmt: skip


def _show(
    log: Sequence[Happening], cut_ms: int, guesses: int, figures: dict[str, float], baselines: dict[str, float]
) -> None:
    kinds = Counter(happening.kind for happening in log)
    quiet = [one.at_ms for one in log if SILENCE_FROM_MS <= one.at_ms < SILENCE_TO_MS]
    longest_s = max((later - one for one, later in pairwise(quiet)), default=0) / 1_000
    print(f"{len(log):,} events of {len({one.user for one in log}):,} people: {kinds['view']:,} views, "
          f"{kinds['cart']:,} into the cart, {kinds['purchase']:,} purchases")
    print(f"sessions   {figures['sessions']:,.0f} found by the engine, {baselines['gap_sessions']:,.0f} by a plain "
          f"count of gaps over 30 min, {baselines['user_sessions']:,.0f} in the log;\n           "
          f"{figures['sessions_split']:,.0f} of the log's are split, {figures['sessions_joined']:,.0f} of the engine's "
          "join several")
    print(f"silence    {len(quiet):,} events from 00:20 to 02:17, at most {longest_s:,.0f} s without one")
    print(f"burst      {figures['burst_events']:,.0f} events from 02:17 on, taken at "
          f"{figures['burst_events_per_s']:,.0f} a second")
    print(f"freshness  in batches {figures['batched_freshness_p50_ms']:.1f} ms, p99 "
          f"{figures['batched_freshness_p99_ms']:.1f} ms; one by one {figures['freshness_p50_ms']:.1f} ms, p99 "
          f"{figures['freshness_p99_ms']:.1f} ms")
    print(f"decisions  {figures['ask_p50_ms']:.1f} ms, p99 {figures['ask_p99_ms']:.1f} ms, round trip")
    print(f"kept       {figures['events_sent']:,.0f} sent, {figures['events_lost']:,.0f} lost, "
          f"{figures['events_not_applied']:,.0f} late or dropped as duplicates")
    rungs = (f"{name.removeprefix('rung.')} {share:.1%}" for name, share in figures.items() if name.startswith("rung."))
    print(f"rungs      {', '.join(rungs)}\n")
    print(f"The next item viewed, {guesses:,} times from {iso(cut_ms)} on, among {SHOWN} shown:  hit rate     MRR")
    for text, name, source in (
        ("at home, the engine", HOME, figures),
        ("at home, most viewed so far", f"{HOME}.popularity", baselines),
        ("beside the item last viewed, the engine", SIMILAR, figures),
        ("beside it, most viewed of its category", f"{SIMILAR}.same_category", baselines),
        ("beside it, most viewed so far", f"{SIMILAR}.popularity", baselines),
    ):
        hit, mrr = source.get(f"{name}.hit_at_12", 0.0), source.get(f"{name}.mrr_at_12", 0.0)
        low, high = figures.get(f"{name}.more_low"), figures.get(f"{name}.more_high")
        more = "" if low is None else f"   the engine {low:+.4f} to {high:+.4f} (95 %)"
        print(f"  {text:<77} {hit:8.4f} {mrr:7.4f}{more}")


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in figures.items()}


if __name__ == "__main__":
    sys.exit(main("rees46_night", "A shop's evening through the engine: sessions, burst, rungs and hits.", run))
