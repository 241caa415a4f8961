"""The runner of carts: how invoices are read and told, the plain methods, and a short run of a made-up shop."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import ModuleType

import pytest

from .conftest import EXAMPLES, load

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
DAY = "2011-08-{:02d} 09:00:00"


@pytest.fixture(scope="module")
def online_retail() -> ModuleType:
    return load("example_online_retail", EXAMPLES / "online_retail" / "run.py")


def line(invoice: str, item: str, at: str, *, customer: str = "1", quantity: int = 1, price: float = 2.5) -> str:
    return f"{invoice},{item},ITEM {item},{quantity},{at},{price},{customer},France"


def written(folder: Path, lines: list[str]) -> Path:
    path = folder / "lines.csv.gz"
    path.write_bytes(gzip.compress("\n".join([HEADER, *lines]).encode()))
    return path


def test_invoices_are_read_in_the_order_of_time_without_what_is_no_sale(online_retail: ModuleType, tmp_path) -> None:
    late, early = DAY.format(2), DAY.format(1)
    path = written(tmp_path, [
        line("2", "10001", late), line("2", "10002", late), line("2", "10001", late),
        line("1", "10003", early, customer=""), line("1", "POST", early), line("1", "10004", early, quantity=-1),
        line("C3", "10001", late), line("2", "10005", late, price=0.0),
    ])  # fmt: skip
    invoices, catalogue = online_retail.read(path)
    assert [(one.number, one.person, one.items) for one in invoices] == [
        ("1", "i1", ("10003",)), ("2", "c1", ("10001", "10002", "10005")),
    ]  # fmt: skip
    assert catalogue["10001"] == {"title": "ITEM 10001", "price": 2.5}
    assert "10005" not in catalogue


def test_a_long_order_is_told_by_several_events_and_a_cart_by_its_last_items(online_retail: ModuleType) -> None:
    items = tuple(str(10_000 + number) for number in range(70))
    invoice = online_retail.Invoice("7", 1_314_000_000_000, "c1", items)
    orders = [json.loads(event) for event in online_retail.orders(invoice)]
    assert [len(one["properties"]["products"]) for one in orders] == [30, 30, 10]
    assert len({one["messageId"] for one in orders}) == 3
    added = [json.loads(event)["properties"]["product_id"] for event in online_retail.additions(invoice)]
    assert added == list(items[39:69])


def test_the_plain_methods_count_invoices(online_retail: ModuleType) -> None:
    plain = online_retail.Together()
    for items in (["a", "b"], ["a", "b"], ["a", "c"], ["d"], ["d"], ["d"], ["d"]):
        plain.see(items)
    assert plain.popular([]) == ["d", "a", "b", "c"]
    assert plain.beside(["a"], ["a"]) == ["b", "c", "d"]


def test_a_short_run_finds_what_goes_with_a_cart(online_retail: ModuleType, tmp_path) -> None:
    lines = []
    for number in range(60):
        pair = number % 6
        at = DAY.format(1 + number // 3)
        for item in (f"1000{pair}", f"2000{pair}"):
            lines.append(line(str(500 + number), item, at, customer=str(number)))
    written(tmp_path, lines)
    result = online_retail.run(tmp_path, online_retail.time_ms("2011-08-15"), quiet=True)
    assert result["n"] == 18
    assert result["metrics"]["hit_at_4"] == 1.0
    assert result["metrics"]["more_than_popular_at_4_low"] >= 0.0
    assert result["metrics"]["difference"] == 0.0, "nothing is better than what is always right"
    assert set(result["baselines"]) == {
        f"{name}.hit_at_{size}" for name in ("popular", "beside_all", "beside_last") for size in (4, 12)
    }
