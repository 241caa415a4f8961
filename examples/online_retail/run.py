"""What goes with a cart: the last line of an invoice is held out, and the lists for the cart before it are looked at.

The invoices of a gift shop go through the engine in the order of time: up to the cut as orders of the past, and from
there as they happen. Of each invoice the lines but the last are put into the cart one after another, `cart.addons` is
asked, and then the order comes. Beside it stand the most bought, and what was in most invoices with the cart.
"""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "next_item"))

import numpy as np
from figures import Bootstrap
from inprocess import InProcess, Spot
from ranking import first_of
from runner import JsonObject, iso, main, time_ms, track

HERE = Path(__file__).resolve().parent
CUT_MS = time_ms("2011-09-01")
SIZES = (4, 12)
SHOWN = max(SIZES)
ADDONS = "cart.addons"
ADDED, ORDERED = "Product Added", "Order Completed"
LINES_PER_ORDER = 30
"""An order of more lines is told by several events, as from a shop that bounds what it sends at once."""
ADDING_MS = 1_000
"""Between two items that are put into the cart; nobody knows how long it took."""
CART_TOLD = 30
"""Of a longer cart the items that were put in last: an engine knows only so many."""


class Invoice(NamedTuple):
    """One order: different items, in the order of its lines."""

    number: str
    at_ms: int
    person: str
    items: tuple[str, ...]


class Ask(NamedTuple):
    """What was shown for one cart, by method."""

    person: str
    wanted: str
    shown: dict[str, list[str]]


class Together:
    """In how many invoices items were together, in plain dictionaries."""

    def __init__(self) -> None:
        self._bought: Counter[str] = Counter()
        self._beside: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def see(self, items: Sequence[str]) -> None:
        """One invoice."""
        self._bought.update(items)
        for item in items:
            self._beside[item].update(other for other in items if other != item)

    def popular(self, without: Collection[str]) -> list[str]:
        """The most bought."""
        return first_of((item for item, _ in self._bought.most_common(SHOWN + len(without))), SHOWN, without=without)

    def beside(self, cart: Iterable[str], without: Collection[str]) -> list[str]:
        """What was in most invoices with items of the cart, once for each of them; then the most bought."""
        found: Counter[str] = Counter()
        for item in cart:
            found.update(self._beside[item])
        ranked = (item for item, _ in found.most_common(SHOWN + len(without)))
        return first_of([*ranked, *self.popular(without)], SHOWN, without=without)


def read(path: Path) -> tuple[list[Invoice], dict[str, JsonObject]]:
    """The invoices in the order of time, and what the catalogue says of each item. Cancellations, returns and what is
    no article (postage, fees) are left out."""
    lines: dict[str, tuple[int, str, dict[str, None]]] = {}
    catalogue: dict[str, JsonObject] = {}
    with gzip.open(path, "rt", newline="") as file:
        for row in csv.DictReader(file):
            item, number = row["StockCode"], row["InvoiceNo"]
            if number.startswith("C") or int(row["Quantity"]) <= 0 or not item[:5].isdigit():
                continue
            person = f"c{row['CustomerID']}" if row["CustomerID"] else f"i{number}"
            invoice = lines.setdefault(number, (time_ms(row["InvoiceDate"]), person, {}))
            invoice[2][item] = None
            if item not in catalogue and float(row["UnitPrice"]) > 0.0:
                catalogue[item] = {"title": row["Description"], "price": float(row["UnitPrice"])}
    invoices = [Invoice(number, at_ms, person, tuple(items)) for number, (at_ms, person, items) in lines.items()]
    return sorted(invoices, key=lambda one: one.at_ms), catalogue


def orders(invoice: Invoice) -> Iterator[bytes]:
    """The invoice as events."""
    for first in range(0, len(invoice.items), LINES_PER_ORDER):
        part = invoice.items[first : first + LINES_PER_ORDER]
        yield json.dumps(track(
            ORDERED, message_id=f"{invoice.number}-{first}", user_id=invoice.person, at_ms=invoice.at_ms,
            properties={"order_id": invoice.number, "products": [{"product_id": item} for item in part]},
        )).encode()  # fmt: skip


def additions(invoice: Invoice) -> list[bytes]:
    """What was put into the cart before its last item, the last of it a second before the order."""
    cart = invoice.items[:-1][-CART_TOLD:]
    return [
        json.dumps(track(
            ADDED, message_id=f"{invoice.number}-add-{item}", user_id=invoice.person,
            at_ms=invoice.at_ms - (len(cart) - place) * ADDING_MS, properties={"product_id": item},
        )).encode()
        for place, item in enumerate(cart)
    ]  # fmt: skip


def asked(engine: InProcess, invoice: Invoice, plain: Together) -> Ask:
    """What everybody would show for the cart that lacks the last item."""
    *cart, wanted = invoice.items
    answered = engine.ask(invoice.person, invoice.at_ms, [Spot(ADDONS, SHOWN)])
    return Ask(invoice.person, wanted, {
        "engine": answered.lists[ADDONS],
        "popular": plain.popular(cart),
        "beside_all": plain.beside(cart, cart),
        "beside_last": plain.beside(cart[-1:], cart),
    })  # fmt: skip


def figures(asks: Sequence[Ask]) -> dict[str, dict[str, float]]:
    """By method: the hit rate at each size."""
    return {
        method: {
            f"hit_at_{size}": float(np.mean([ask.wanted in ask.shown[method][:size] for ask in asks]))
            for size in SIZES
        }
        for method in asks[0].shown
    }


def differences(asks: Sequence[Ask]) -> dict[str, float]:
    """By other method and size: the 95 % interval of how much more the engine hits, over people."""
    numbers = {person: number for number, person in enumerate(dict.fromkeys(ask.person for ask in asks))}
    bootstrap = Bootstrap(np.array([numbers[ask.person] for ask in asks], np.int64))
    found: dict[str, float] = {}
    for method in asks[0].shown:
        if method == "engine":
            continue
        more = np.array([
            [float(ask.wanted in ask.shown["engine"][:size]) - (ask.wanted in ask.shown[method][:size])
             for size in SIZES] for ask in asks
        ])  # fmt: skip
        for size, low, high in zip(SIZES, *bootstrap.interval(more), strict=True):
            found[f"more_than_{method}_at_{size}_low"], found[f"more_than_{method}_at_{size}_high"] = low, high
    return found


def run(folder: Path, cut_ms: int | None, quiet: bool) -> JsonObject:
    """The figures of one run."""
    cut_ms = CUT_MS if cut_ms is None else cut_ms
    invoices, catalogue = read(folder / "lines.csv.gz")
    asks, plain = list[Ask](), Together()
    with InProcess(HERE / "instanter.toml") as engine:
        engine.put_items(catalogue)
        past = [invoice for invoice in invoices if invoice.at_ms < cut_ms]
        engine.import_events([event for invoice in past for event in orders(invoice)])
        for invoice in past:
            plain.see(invoice.items)
        for invoice in invoices[len(past) :]:
            if len(invoice.items) > 1:
                engine.take_events(additions(invoice))
                asks.append(asked(engine, invoice, plain))
            engine.take_events(list(orders(invoice)))
            plain.see(invoice.items)
    told = figures(asks)
    metrics = {**told.pop("engine"), **differences(asks)}
    best = max(told, key=lambda method: told[method][f"hit_at_{SHOWN}"])
    metrics |= {
        "difference": metrics[f"hit_at_{SHOWN}"] - told[best][f"hit_at_{SHOWN}"],
        **{f"difference_{end}": metrics[f"more_than_{best}_at_{SHOWN}_{end}"] for end in ("low", "high")},
    }
    baselines = {f"{method}.{name}": value for method, own in told.items() for name, value in own.items()}
    if not quiet:
        show(len(asks), cut_ms, metrics, baselines)
    return {"cut": iso(cut_ms), "n": len(asks), "metrics": rounded(metrics), "baselines": rounded(baselines)}


def show(count: int, cut_ms: int, metrics: dict[str, float], baselines: dict[str, float]) -> None:
    """Print what a person wants to see."""
    print(f"The last line of {count:,} invoices from {iso(cut_ms)} on, hit rate among")
    print(f"{'':34}" + "".join(f"{size:>8}" for size in SIZES) + "   the engine has more (95 %)")
    print(f"  {'the engine':<32}" + "".join(f"{metrics[f'hit_at_{size}']:8.4f}" for size in SIZES))
    for method, text in (
        ("popular", "the most bought"), ("beside_all", "in most invoices with the cart"),
        ("beside_last", "in most with the last put in"),
    ):  # fmt: skip
        own = "".join(f"{baselines[f'{method}.hit_at_{size}']:8.4f}" for size in SIZES)
        ends = [[metrics[f"more_than_{method}_at_{size}_{end}"] for end in ("low", "high")] for size in SIZES]
        print(f"  {text:<32}{own}   " + ", ".join(f"{low:+.4f} to {high:+.4f}" for low, high in ends))


def rounded(values: dict[str, float]) -> dict[str, float]:
    """To four digits."""
    return {name: round(value, 4) for name, value in values.items()}


if __name__ == "__main__":
    sys.exit(main("online_retail", "What goes with a cart: hit rates beside plain methods.", run))
