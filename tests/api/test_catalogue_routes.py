"""The catalogue and profile routes, and identifiers of every kind in their paths."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from instanter.api.tenancy import TenantTerms, Terms
from instanter.foundation.clock import ManualClock
from instanter.foundation.limits import (
    FOUND_MAX,
    ITEM_DELETIONS_PER_WRITE_MAX,
    ITEM_FIELDS_BYTES_MAX,
    ITEM_REMARKS_MAX,
    ITEMS_LISTED_BYTES_MAX,
    ITEMS_LISTED_MAX,
)

from .client import Client, track, with_client

STRANGE = ("a/b", "a%2Fb", "100%", "ä€🪑", "a b", "a?b#c", "../../etc", "a/links/b", "links", "a+b", "'\"<>", "x" * 512)


@pytest.mark.parametrize("item", STRANGE)
def test_an_item_of_any_id_is_put_read_changed_and_taken_out(item: str, tmp_path: Path):
    async def work(client: Client) -> None:
        path = f"/v1/items/{quote(item, safe='')}"
        put = await client.post("/v1/items", {"items": [{"id": item, "fields": {"title": "Chair", "stock": 2}}]})
        position = str(client.engine.partition.position)
        assert put.json() == {"accepted": 1, "position": position, "rejected": [], "warnings": []}
        assert (await client.get(path)).json() == {"id": item, "fields": {"title": "Chair", "stock": 2}}
        patched = await client.call("PATCH", path, {"fields": {"stock": 0, "title": None}})
        assert int(patched.json()["position"]) > int(put.json()["position"])
        assert (await client.get(path)).json()["fields"] == {"stock": 0}
        assert (await client.call("DELETE", path)).status_code == 200
        assert (await client.get(path)).status_code == 404

    with_client(tmp_path, work)


@pytest.mark.parametrize("person", STRANGE[:-1])
def test_a_profile_of_any_id_is_read_and_its_link_taken_back(person: str, tmp_path: Path):
    async def work(client: Client) -> None:
        await client.post("/v1/track", {**track(1), "anonymousId": person})
        await client.post("/v1/identify", {"messageId": "m-2", "anonymousId": person, "userId": f"user {person}"})
        anonymous, user = quote(f"anonymous:{person}", safe=""), quote(f"user {person}", safe="")
        profile = (await client.get(f"/v1/profiles/{anonymous}")).json()
        assert (profile["id"], profile["linked"]) == (f"anonymous:{person}", [f"user {person}"])
        assert (await client.get(f"/v1/profiles/{user}")).json()["features"] == profile["features"]
        undone = await client.call("DELETE", f"/v1/profiles/{user}/links/{anonymous}")
        assert undone.json() == {"unlinked": True, "position": str(client.engine.partition.position)}
        alone = (await client.get(f"/v1/profiles/{user}")).json()
        assert (alone["linked"], alone["features"]["views"]) == ([], 0.0), "what named nobody stays with the device"
        again = await client.call("DELETE", f"/v1/profiles/{user}/links/{anonymous}")
        assert (again.status_code, again.json()["error"]["code"]) == (404, "not_linked")

    with_client(tmp_path, work)


def test_an_id_that_is_a_path_may_also_be_sent_unescaped(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("shoes/red/42")
        assert (await client.get("/v1/items/shoes/red/42")).json()["id"] == "shoes/red/42"

    with_client(tmp_path, work)


@pytest.mark.parametrize("sent", ["%ff", "a%C3", "x" * 513])
def test_an_id_in_the_path_that_can_be_none_is_refused(sent: str, tmp_path: Path):
    async def work(client: Client) -> None:
        for path in (f"/v1/items/{sent}", f"/v1/profiles/{sent}", f"/v1/decisions/{sent}"):
            reply = await client.get(path)
            assert (reply.status_code, reply.json()["error"]["code"]) == (400, "schema"), path

    with_client(tmp_path, work)


def test_an_unknown_item_is_404_whatever_is_asked_of_it(tmp_path: Path):
    async def work(client: Client) -> None:
        for method, body in (("GET", None), ("DELETE", None), ("PATCH", {"fields": {}})):
            reply = await client.call(method, "/v1/items/nothing", body)
            assert (reply.status_code, reply.json()["error"]["code"]) == (404, "unknown_item")

    with_client(tmp_path, work)


def test_an_upsert_replaces_all_fields_and_a_patch_only_its_own(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.post("/v1/items", {"items": [{"id": "i", "fields": {"price": 5, "brand": "b"}}]})
        await client.call("PATCH", "/v1/items/i", {"fields": {"price": 6}})
        assert (await client.get("/v1/items/i")).json()["fields"] == {"price": 6, "brand": "b"}
        await client.post("/v1/items", {"items": [{"id": "i", "fields": {"price": 7}}]})
        assert (await client.get("/v1/items/i")).json()["fields"] == {"price": 7}

    with_client(tmp_path, work)


def test_stock_counts_from_the_next_decision(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("i", stock=1)
        for stock, shown in ((0, []), (3, ["i"]), (-1, []), (0.5, ["i"]), (None, ["i"])):
            await client.call("PATCH", "/v1/items/i", {"fields": {"stock": stock}})
            assert [item["id"] for item in (await client.decide())["items"]] == shown, stock

    with_client(tmp_path, work)


CODES = ("schema", "malformed", "too_deep", "too_complex", "too_large")
REFUSED: dict[str, tuple[Any, int]] = {
    "no items": ({}, 400),
    "items no list": ({"items": {}}, 400),
    "no id": ({"items": [{"fields": {}}]}, 400),
    "empty id": ({"items": [{"id": "", "fields": {}}]}, 400),
    "blank id": ({"items": [{"id": " ", "fields": {}}]}, 400),
    "control character": ({"items": [{"id": "a\x00b", "fields": {}}]}, 400),
    "long id": ({"items": [{"id": "x" * 513, "fields": {}}]}, 400),
    "no fields": ({"items": [{"id": "i"}]}, 400),
    "fields no map": ({"items": [{"id": "i", "fields": []}]}, 400),
    "price as text below 0": ({"items": [{"id": "i", "fields": {"price": "-1 EUR"}}]}, 400),
    "price below 0": ({"items": [{"id": "i", "fields": {"price": -5}}]}, 400),
    "id with decimals": ({"items": [{"id": 5.5, "fields": {}}]}, 400),
    "id true": ({"items": [{"id": True, "fields": {}}]}, 400),
    "id of 65 bits": ({"items": [{"id": 2**64, "fields": {}}]}, 400),
    "other id": ({"items": [{"sku": "i", "fields": {}}]}, 400),
    "item no object": ({"items": ["i"]}, 400),
    "no item": ({"title": "Sofa"}, 400),
    "a number": (b"7", 400),
    "lines": (b'{"id": "i", "fields": {}}\n{"id": "j", "fields": {}}', 400),
    "cut id": (b'{"items": [{"id": "x\\ud83d", "fields": {}}]}', 400),
    "no unicode": (b'{"items": [{"id": "i", "fields": {"title": "\xff"}}]}', 400),
    "not a number within": (b'{"items": [{"id": "i", "fields": {"t": {"a": [NaN]}}}]}', 400),
    "huge integer": ({"items": [{"id": "i", "fields": {"price": 10**30}}]}, 400),
    "not a number": (b'{"items": [{"id": "i", "fields": {"t": NaN}}]}', 400),
    "infinite": (b'{"items": [{"id": "i", "fields": {"t": 1e999}}]}', 400),
    "surrogate": (b'{"items": [{"id": "i", "fields": {"title": "\\ud800"}}]}', 400),
    "too deep": (b'{"items": [{"id": "i", "fields": {"a": ' + b"[" * 60_000 + b"]" * 60_000 + b"}}]}", 400),
    "large fields": ({"items": [{"id": "i", "fields": {"text": "x" * ITEM_FIELDS_BYTES_MAX}}]}, 413),
    "large body": (b" " * (1024 * 1024 + 1), 413),
    "too many": ({"items": [{"id": f"i{number}", "fields": {}} for number in range(5_001)]}, 400),
}


def test_what_cannot_be_an_item_is_refused_with_a_code_and_nothing_is_kept(tmp_path: Path):
    async def work(client: Client) -> None:
        for what, (body, status) in REFUSED.items():
            reply = await client.post("/v1/items", body)
            assert reply.status_code == status, (what, reply.text)
            assert reply.json()["error"]["code"] in CODES, what
        assert (await client.get("/v1/items/i")).status_code == 404

    with_client(tmp_path, work)


def test_good_items_are_kept_and_bad_ones_reported_one_by_one(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("bad", stock=7)
        sent = [{"id": "good", "fields": {"a": 1}}, {"id": "bad", "fields": {"price": -1}}, {"fields": {}}, 5,
                {"id": 5, "fields": {"title": "five"}}]  # fmt: skip
        reply = (await client.post("/v1/items", {"items": sent})).json()
        assert reply["accepted"] == 2
        assert [(one["index"], one["id"], one["code"]) for one in reply["rejected"]] == [
            (1, "bad", "schema"), (2, "", "schema"), (3, "", "schema")
        ]  # fmt: skip
        assert reply["rejected"][0]["message"].startswith('item "bad": price is below 0: send ')
        assert (await client.get("/v1/items/good")).json()["fields"] == {"a": 1}
        assert (await client.get("/v1/items/5")).json() == {"id": "5", "fields": {"title": "five"}}
        assert (await client.get("/v1/items/bad")).json()["fields"]["stock"] == 7
        assert client.engine.meter.counts["items_rejected.schema"] == 3

    with_client(tmp_path, work)


def test_one_item_that_spoils_the_encoding_spoils_no_other(tmp_path: Path):
    async def work(client: Client) -> None:
        for bad in (b'"x\\ud83d"', b'"\xff\xfe"', b"NaN", b"1e999", b'["\\ud83d"]'):
            items = b'[{"id": "a", "fields": {"t": ' + bad + b'}}, {"id": "b", "fields": {"t": 1}}]'
            body = b'\xef\xbb\xbf{"items": ' + items + b"}"
            reply = (await client.post("/v1/items", body)).json()
            assert (reply["accepted"], [one["id"] for one in reply["rejected"]]) == (1, ["a"]), bad

    with_client(tmp_path, work)


def test_nothing_that_fits_is_400_with_every_fault(tmp_path: Path):
    async def work(client: Client) -> None:
        sent = [{"id": "a", "fields": {"price": -1}}, {"id": "", "fields": {}}]
        reply = await client.post("/v1/items", {"items": sent})
        assert reply.status_code == 400
        error = reply.json()["error"]
        assert error["message"] == 'item "a": price is below 0: send what the item costs'
        assert [one["index"] for one in error["details"]] == [0, 1]

    with_client(tmp_path, work)


@pytest.mark.parametrize("body", [
    {"items": [{"id": 5, "title": "Sofa"}]}, [{"id": "5", "title": "Sofa"}], {"id": 5, "title": "Sofa"},
    {"id": 5, "fields": {"title": "Sofa"}}, [{"id": 5, "fields": {"title": "Sofa"}}],
])  # fmt: skip
def test_an_item_is_taken_in_every_shape_it_is_sent_in(body: Any, tmp_path: Path):
    async def work(client: Client) -> None:
        assert (await client.post("/v1/items", body)).json()["accepted"] == 1
        assert (await client.get("/v1/items/5")).json() == {"id": "5", "fields": {"title": "Sofa"}}

    with_client(tmp_path, work)


def test_what_is_sent_in_words_counts_in_the_next_decision(tmp_path: Path):
    async def work(client: Client) -> None:
        for fields, shown in (
            ({"availability": "https://schema.org/OutOfStock"}, []), ({"availability": "InStock"}, ["i"]),
            ({"stock": "0"}, []), ({"stock": "in stock"}, ["i"]), ({"stock": False}, []), ({"stock": "3"}, ["i"]),
        ):  # fmt: skip
            assert (await client.call("PATCH", "/v1/items/i", fields)).status_code in (200, 404)
            await client.stock("i", **fields)
            assert [item["id"] for item in (await client.decide())["items"]] == shown, fields

    with_client(tmp_path, work)


def test_what_has_less_effect_than_meant_is_said_in_the_reply_and_counted(tmp_path: Path):
    async def work(client: Client) -> None:
        items = [{"id": f"i{number}", "fields": {"price": "1,299", "inventory": 3}} for number in range(5)]
        items += [{"id": "i1", "fields": {}, "title": "beside"}]
        warnings = (await client.post("/v1/items", {"items": items})).json()["warnings"]
        told = {(one["field"], one["code"]): (one["items"], one["ids"]) for one in warnings}
        assert told == {
            ("price", "unreadable"): (5, ["i0", "i1", "i2"]), ("inventory", "unheard"): (5, ["i0", "i1", "i2"]),
            ("title", "ignored"): (1, ["i1"]), ("id", "repeated"): (1, ["i1"]),
        }  # fmt: skip
        assert 'is called "stock"' in next(one["message"] for one in warnings if one["code"] == "unheard")
        patched = (await client.call("PATCH", "/v1/items/i0", {"availability": "maybe"})).json()
        assert [one["field"] for one in patched["warnings"]] == ["availability"]
        assert client.engine.meter.counts["items_remarked.unreadable"] == 6
        assert client.engine.meter.counts["items_remarked.unheard"] == 5

    with_client(tmp_path, work)


def test_names_that_an_import_understands_are_told_and_keep_what_they_are(tmp_path: Path):
    async def work(client: Client) -> None:
        sent = {"Category": "Sofas", "vendor": "Own", "regular_price": 9, "g:availability": "out of stock"}
        reply = (await client.post("/v1/items", {"id": "i", **sent})).json()
        told = {one["field"]: (one["code"], one["message"].rpartition(" ")[2]) for one in reply["warnings"]}
        assert told == {
            "Category": ("unheard", '"category"'), "vendor": ("unheard", '"brand"'),
            "regular_price": ("unheard", '"price"'), "g:availability": ("unheard", '"availability"'),
        }  # fmt: skip
        assert (await client.get("/v1/items/i")).json()["fields"] == sent

    with_client(tmp_path, work)


def test_what_is_kept_back_is_not_shown_until_it_is_said_to_be(tmp_path: Path):
    async def work(client: Client) -> None:
        for fields, shown in (({"active": False}, []), ({"active": True}, ["i"]), ({"status": "draft"}, []),
                              ({"status": "active"}, ["i"]), ({"category": [{"name": "A"}]}, ["i"])):
            await client.stock("i", **fields)
            assert [item["id"] for item in (await client.decide())["items"]] == shown, fields
            await client.stock("i", stock=3)
            await client.call("PATCH", "/v1/items/i", fields)
            assert [item["id"] for item in (await client.decide())["items"]] == shown, fields
        assert (await client.get("/v1/items/i")).json()["fields"]["category"] == "A"

    with_client(tmp_path, work)


def test_each_value_is_told_what_is_the_matter_with_it(tmp_path: Path):
    async def work(client: Client) -> None:
        items = [{"id": "a", "price": "1,299"}, {"id": "b", "price": "free"}, {"id": "c", "price": "on request"}]
        warnings = (await client.post("/v1/items", items)).json()["warnings"]
        assert [(one["ids"], one["message"].split(":")[0]) for one in warnings] == [
            (["a"], "price may be decimals or thousands"), (["b", "c"], "price is text that is no number")]
        findings = (await client.get("/v1/health/data")).json()["findings"]
        assert [one["count"] for one in findings if one["code"] == "unreadable"] == [1, 2]

    with_client(tmp_path, work)


def test_an_item_keeps_what_stands_beside_its_id_and_one_without_a_field_is_told(tmp_path: Path):
    async def work(client: Client) -> None:
        items = [{"id": "n-1", "title": "X", "price": 5}, {"id": "n-2", "fields": {}}, {"id": "n-3"}]
        told = (await client.post("/v1/items", {"items": items})).json()
        assert [(one["field"], one["code"], one["ids"]) for one in told["warnings"]] == [("fields", "empty", ["n-2"])]
        assert (told["accepted"], [one["id"] for one in told["rejected"]]) == (2, ["n-3"])
        assert (await client.get("/v1/items/n-1")).json()["fields"] == {"title": "X", "price": 5}

    with_client(tmp_path, work)


def test_warnings_of_one_reply_are_bounded(tmp_path: Path):
    async def work(client: Client) -> None:
        sent = {f"inventory{'_' * number}": 1 for number in range(ITEM_REMARKS_MAX + 9)}
        reply = (await client.post("/v1/items", {"id": "i", "fields": sent})).json()
        assert len(reply["warnings"]) == ITEM_REMARKS_MAX

    with_client(tmp_path, work)


def test_a_change_of_currency_is_never_a_change_of_price(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.post("/v1/items", [{"id": "a", "price": "5 EUR"}])
        reply = (await client.post("/v1/items", [{"id": "b", "price": "600 JPY"}])).json()
        assert [one["code"] for one in reply["warnings"]] == ["other_currency"]
        assert (await client.get("/v1/items/b")).json()["fields"] == {"price": "600 JPY"}
        for item in "ab":
            await client.call("DELETE", f"/v1/items/{item}")
        assert (await client.post("/v1/items", [{"id": "b", "price": "600 JPY"}])).json()["warnings"] == []

    with_client(tmp_path, work)


@pytest.mark.parametrize("body", [{}, [], b"", b"null", {"fields": []}, {"price": -1}])
def test_a_change_that_cannot_be_is_refused(body: Any, tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("i")
        reply = await client.call("PATCH", "/v1/items/i", body)
        assert (reply.status_code, reply.json()["error"]["code"]) in ((400, "schema"), (400, "malformed"))

    with_client(tmp_path, work)


def test_a_field_that_cannot_be_read_is_lost_and_a_change_by_it_changes_nothing(tmp_path: Path):
    async def work(client: Client) -> None:
        sent = {"id": "i", "title": "T", "stock": 7, "expiration_date": "soon"}
        reply = (await client.post("/v1/items", [sent])).json()
        assert (reply["accepted"], [one["code"] for one in reply["warnings"]]) == (1, ["unreadable"])
        reply = (await client.call("PATCH", "/v1/items/i", {"stock": "many"})).json()
        assert [one["field"] for one in reply["warnings"]] == ["stock"]
        assert (await client.get("/v1/items/i")).json()["fields"] == {"title": "T", "stock": 7}

    with_client(tmp_path, work)


def test_changes_add_up_to_no_more_than_an_item_may_have(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.post("/v1/items", {"id": "i", "fields": {"a": "x" * 9_000}})
        for name, status in (("b", 413), ("a", 200), ("c", 413)):
            reply = await client.call("PATCH", "/v1/items/i", {"fields": {name: "y" * 9_000}})
            assert reply.status_code == status, reply.text
        together = await asyncio.gather(*(
            client.call("PATCH", "/v1/items/i", {"fields": {name: "z" * 5_000}}) for name in "defgh"
        ))
        assert sorted(reply.status_code for reply in together)[0] == 200
        assert {reply.status_code for reply in together} <= {200, 413, 429}
        assert client.engine.partition.state.catalogue.size_of("default", "i") < ITEM_FIELDS_BYTES_MAX + 200

    with_client(tmp_path, work)


def test_an_item_that_is_put_while_it_is_changed_has_no_more_than_an_item_may_have(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("i")
        together = await asyncio.gather(
            client.post("/v1/items", {"id": "i", "fields": {"a": "x" * 14_000}}),
            *(client.call("PATCH", "/v1/items/i", {"fields": {name: "z" * 5_000}}) for name in "defgh"),
        )
        assert together[0].status_code == 200
        assert {reply.status_code for reply in together} <= {200, 413, 429}
        catalogue = client.engine.partition.state.catalogue
        assert catalogue.size_of("default", "i") < ITEM_FIELDS_BYTES_MAX + 200
        assert (await client.call("PATCH", "/v1/items/i", {"fields": {"a": None}})).status_code == 200
        assert (await client.call("PATCH", "/v1/items/i", {"fields": {"b": "y" * 9_000}})).status_code in (200, 413)

    with_client(tmp_path, work)


def test_many_requests_at_once_put_no_more_items_than_one_after_the_other(tmp_path: Path):
    async def work(client: Client) -> None:
        key = await client.key("catalog", tenant="one")
        together = await asyncio.gather(*(
            client.post("/v1/items", [{"id": f"{part}-{number}", "price": 1} for number in range(6)],
                        headers=key.headers) for part in range(8)
        ))
        assert sorted(reply.status_code for reply in together) == [200, *[429] * 7]
        assert client.engine.partition.state.catalogue.count_of("one") == 6
        more = await client.post("/v1/items", [{"id": f"m-{number}", "price": 1} for number in range(4)],
                                 headers=key.headers)
        assert more.status_code == 200, "what came to nothing holds nothing"

    named = {"one": TenantTerms(items_max=10)}
    with_client(tmp_path, work, terms=Terms(key_requests_per_s=1_000, named=named))


# The catalogue as a whole.


async def listed(client: Client, *, limit: int = 2) -> list[str]:
    """All ids, page by page."""
    ids: list[str] = []
    path = f"/v1/items?limit={limit}"
    while True:
        page = (await client.get(path)).json()
        assert len(page["items"]) <= limit
        ids += [item["id"] for item in page["items"]]
        if page["next"] is None:
            return ids
        path = f"/v1/items?limit={limit}&after={quote(page['next'], safe='')}"


def test_the_catalogue_is_listed_page_by_page(tmp_path: Path):
    async def work(client: Client) -> None:
        assert (await client.get("/v1/items")).json() == {
            "items": [], "count": 0, "available": 0, "next": None, "position": str(client.engine.partition.position)
        }  # fmt: skip
        await client.stock(*STRANGE)
        for limit in (1, 2, len(STRANGE), 1_000):
            assert await listed(client, limit=limit) == list(STRANGE)
        page = (await client.get("/v1/items?limit=3")).json()
        assert (page["count"], page["next"]) == (len(STRANGE), STRANGE[2])
        assert page["items"][0]["fields"]["category"] == "chairs"

    with_client(tmp_path, work)


def test_a_page_goes_on_where_the_one_before_ended_whatever_changed_meanwhile(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("a", "b", "c", "d", "e")
        assert (await client.get("/v1/items?limit=2")).json()["next"] == "b"
        await client.post("/v1/items/delete", {"ids": ["a", "b"]})
        await client.stock("f")
        await client.call("PATCH", "/v1/items/c", {"fields": {"x": 1}})
        page = (await client.get("/v1/items?limit=3&after=b")).json()
        assert [item["id"] for item in page["items"]] == ["c", "d", "e"]
        assert (page["count"], page["next"]) == (4, "e")

    with_client(tmp_path, work)


@pytest.mark.parametrize("query", ["limit=0", "limit=x", f"limit={ITEMS_LISTED_MAX + 1}", "limit=%C2%B2", "after=none"])
def test_a_page_that_cannot_be_is_refused(query: str, tmp_path: Path):
    async def work(client: Client) -> None:
        assert (await client.get(f"/v1/items?{query}")).status_code == 400

    with_client(tmp_path, work)


def test_a_page_ends_where_it_would_be_too_large(tmp_path: Path):
    async def work(client: Client) -> None:
        for first in range(0, 300, 60):
            items = [{"id": f"i{number}", "fields": {"t": "x" * 16_000}} for number in range(first, first + 60)]
            assert (await client.post("/v1/items", {"items": items})).json()["accepted"] == 60
        page = (await client.get("/v1/items?limit=1000")).json()
        assert 0 <= len(page["items"]) * 16_050 - ITEMS_LISTED_BYTES_MAX < 20_000
        assert len(await listed(client, limit=1_000)) == 300

    with_client(tmp_path, work)


def test_many_are_deleted_at_once_and_those_that_were_not_there_are_named(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("a", "b", "5", "delete")
        reply = (await client.post("/v1/items/delete", {"ids": ["a", 5, "none", "a"]})).json()
        assert (reply["deleted"], reply["unknown"]) == (2, ["none"])
        assert reply["position"] == str(client.engine.partition.position)
        assert await listed(client) == ["b", "delete"]
        mixed = (await client.post("/v1/items/delete", {"ids": [True, "none", None, 7.5, "c"]})).json()
        assert [one["index"] for one in mixed["rejected"]] == [0, 2, 3]
        assert mixed["unknown"] == ["none", "c"]
        assert (await client.get("/v1/items/%64elete")).json()["id"] == "delete"
        assert (await client.call("DELETE", "/v1/items/%64elete")).status_code == 200
        for body in ({}, {"ids": "a"}, {"ids": [True]}, {"ids": [" "]}, {"ids": ["x"] * 5_001}):
            assert (await client.post("/v1/items/delete", body)).status_code == 400
        assert await listed(client) == ["b"]

    with_client(tmp_path, work)


# Replacing it.


async def begin(client: Client, *ids: str) -> str:
    reply = await client.post("/v1/items?replace=begin", [{"id": item, "fields": {"new": 1}} for item in ids])
    return str(reply.json()["replace"])


async def commit(client: Client, token: str, *ids: str, **more: str) -> Any:
    query = "".join(f"&{name}={value}" for name, value in more.items())
    body = [{"id": item, "fields": {"new": 1}} for item in ids]
    return await client.post(f"/v1/items?replace={token}&commit=true{query}", body)


def test_what_left_the_feed_is_deleted_at_the_end_of_it_and_not_before(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("a", "b", "c", "d", "e")
        token = await begin(client, "a", "b")
        await client.post(f"/v1/items?replace={token}", [{"id": "f", "fields": {"x": 1}}])
        assert await listed(client) == ["a", "b", "c", "d", "e", "f"]
        reply = (await commit(client, token, "d")).json()
        assert (reply["accepted"], reply["deleted"]) == (1, 2)
        assert reply["position"] == str(client.engine.partition.position)
        assert await listed(client) == ["a", "b", "d", "f"]
        assert {item["id"] for item in (await client.decide())["items"]} == {"a", "b", "d", "f"}

    with_client(tmp_path, work)


def test_what_is_added_otherwise_while_a_replace_goes_on_stays(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("a", "b", "c")
        token = await begin(client, "a")
        await client.stock("by hand", "b")
        assert (await commit(client, token)).json()["deleted"] == 1
        assert await listed(client) == ["a", "b", "by hand"]

    with_client(tmp_path, work)


def test_an_item_that_the_feed_has_wrong_stays_as_it_was(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("a", "b", "c")
        token = await begin(client, "a")
        bad = await client.post(f"/v1/items?replace={token}", [{"id": "b", "fields": {"price": -1}}])
        assert bad.status_code == 400
        assert (await commit(client, token)).json()["deleted"] == 1
        assert await listed(client) == ["a", "b"]

    with_client(tmp_path, work)


def test_a_feed_that_is_nearly_empty_deletes_nothing_unless_that_is_meant(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("a", "b", "c", "d", "e")
        token = await begin(client, "a", "b")
        refused = await commit(client, token)
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "too_many_deletions")
        assert "3 of the 5 items" in refused.json()["error"]["message"]
        assert len(await listed(client)) == 5
        assert (await commit(client, token, force="true")).json()["deleted"] == 3
        assert await listed(client) == ["a", "b"]

    with_client(tmp_path, work)


def test_items_of_a_feed_that_nobody_can_name_keep_it_from_deleting(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("a", "b", "c")
        token = await begin(client, "a", "b")
        await client.post(f"/v1/items?replace={token}", [{"id": None, "fields": {}}, {"id": "a", "fields": {}}])
        refused = await commit(client, token)
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "unreadable_items")
        assert (await commit(client, token, force="true")).json()["deleted"] == 1

    with_client(tmp_path, work)


def test_a_replace_that_broke_off_deletes_nothing_and_the_next_one_does(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("a", "b", "c")
        broken = await begin(client, "a")
        token = await begin(client, "b", "c")
        late = await commit(client, broken)
        assert (late.status_code, late.json()["error"]["code"]) == (404, "unknown_replace")
        assert len(await listed(client)) == 3
        assert (await commit(client, token)).json()["deleted"] == 1
        assert (await commit(client, token)).status_code == 404
        assert await listed(client) == ["b", "c"]

    with_client(tmp_path, work)


def test_a_replace_in_one_request_and_of_nothing(tmp_path: Path):
    async def work(client: Client) -> None:
        assert (await commit(client, "begin", "a", "b", "c")).json()["deleted"] == 0
        assert (await commit(client, "begin", "b", "c")).json()["deleted"] == 1
        assert (await client.post("/v1/items?replace=begin&commit=true", b"")).status_code == 409
        assert await listed(client) == ["b", "c"]

    with_client(tmp_path, work)


@pytest.mark.parametrize(("query", "status"), [
    ("commit=true", 400), ("replace=begin&commit=yes", 400), ("replace=begin&force=true", 400), ("replace=r_none", 404),
])  # fmt: skip
def test_a_replace_that_cannot_be_is_refused(query: str, status: int, tmp_path: Path):
    async def work(client: Client) -> None:
        assert (await client.post(f"/v1/items?{query}", [{"id": "a", "fields": {}}])).status_code == status
        assert await listed(client) == []

    with_client(tmp_path, work)


def test_a_large_replace_deletes_in_writes_of_a_bounded_size(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock(*(f"i{number}" for number in range(ITEM_DELETIONS_PER_WRITE_MAX + 10)))
        token = await begin(client, "i1")
        assert (await commit(client, token, force="true")).json()["deleted"] == ITEM_DELETIONS_PER_WRITE_MAX + 9
        assert await listed(client) == ["i1"]

    with_client(tmp_path, work)


def test_a_full_request_of_items_is_taken(tmp_path: Path):
    async def work(client: Client) -> None:
        items = [{"id": f"i{number}", "fields": {"price": number}} for number in range(4_000)]
        assert (await client.post("/v1/items", {"items": items})).json()["accepted"] == 4_000
        assert (await client.post("/v1/items", {"items": []})).json()["accepted"] == 0

    with_client(tmp_path, work)


def test_a_catalogue_that_is_full_takes_changes_and_nothing_new(tmp_path: Path):
    async def work(client: Client) -> None:
        for first in range(0, 4_096, 1_024):
            await client.stock(*(f"i{number}" for number in range(first, first + 1_024)))
        refused = await client.post("/v1/items", {"items": [{"id": "one more", "fields": {}}]})
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "overloaded")
        assert (await client.post("/v1/items", {"items": [{"id": "i7", "fields": {"a": 1}}]})).status_code == 200
        assert (await client.call("DELETE", "/v1/items/i8")).status_code == 200
        await client.stock("one more")

    with_client(tmp_path, work)


def test_a_profile_holds_what_the_person_did_and_says_what_it_is_by_name(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("sku-1")
        await client.post("/v1/track", track(1))
        profile = (await client.get("/v1/profiles/anonymous:a1")).json()
        assert set(profile) == {
            "id", "linked", "known", "inSession", "features", "sessionFeatures", "described", "segments", "consent",
            "position"}
        assert (profile["known"], profile["inSession"]) == (True, True)
        lists = [value for value in profile["features"].values() if isinstance(value, list) and value]
        assert "sku-1" in {entry.get("name") for entries in lists for entry in entries}

    with_client(tmp_path, work)


def test_nobody_knows_whom_nobody_told_of(tmp_path: Path):
    async def work(client: Client) -> None:
        for unknown in ("nobody", "anonymous:nobody", "anonymous:"):
            reply = await client.get(f"/v1/profiles/{unknown}")
            assert (reply.status_code, reply.json()["error"]["code"]) == (404, "unknown_profile")

    with_client(tmp_path, work)


def test_items_are_found_by_words_with_how_often_they_were_seen(tmp_path: Path) -> None:
    clock = ManualClock()

    async def work(client: Client) -> None:
        await client.stock("oak-table", "oak-chair", "lamp")
        await client.post("/v1/track", track(1, properties={"product_id": "oak-chair"}))
        for number in (2, 3):
            clock.advance(2_000)
            await client.post("/v1/track", track(number, properties={"product_id": "lamp"}))
        found = (await client.get("/v1/items?query=oak+table&counts=true")).json()
        assert [item["id"] for item in found["items"]] == ["oak-table", "oak-chair"]
        assert (found["count"], found["next"]) == (3, None)
        assert [item["counts"]["item_views"] for item in found["items"]] == [0, 1]
        assert (await client.get("/v1/items?query=velvet")).json()["items"] == []
        assert len((await client.get("/v1/items?query=oak&limit=1")).json()["items"]) == 1
        assert "counts" not in (await client.get("/v1/items")).json()["items"][0]
        assert set((await client.get("/v1/items/lamp?counts=true")).json()["counts"]) >= {"impressions", "buys"}
        long = "query=" + 257 * "x"
        for wrong in (f"query=oak&limit={FOUND_MAX + 1}", "query=oak&after=lamp", long, "counts=1", "query=+"):
            refused = await client.get(f"/v1/items?{wrong}")
            assert refused.status_code == 400, wrong

    with_client(tmp_path, work, clock=clock)


def test_a_search_of_one_tenant_finds_nothing_of_another(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        own, other = [(await client.key("catalog", tenant=tenant)).headers for tenant in ("one", "two")]
        await client.post("/v1/items", {"items": [{"id": "oak", "fields": {"title": "oak"}}]}, headers=other)
        assert (await client.get("/v1/items?query=oak", headers=own)).json()["items"] == []
        assert len((await client.get("/v1/items?query=oak", headers=other)).json()["items"]) == 1

    with_client(tmp_path, work, terms=Terms(key_requests_per_s=1_000_000))
