"""Items from what Shopify exports: a product is a group, each of its variants an item."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ...events.items import AVAILABILITY, BACKORDER, DISCONTINUED, GROUP, OUT_OF_STOCK, STOCK
from ...events.numbers import read_number
from .found import Aside, FeedItem, Finds, Problem

_HANDLE: Final = "Handle"
_TABLE_NAMES: Final = ("Variant Price", "Variant SKU", "Variant Inventory Qty")
_NO_OPTION: Final = ("title", "default title")
_OPTIONS: Final = (1, 2, 3)
_HIDDEN: Final = frozenset({"draft", "archived"})


def is_shopify_table(names: Sequence[str]) -> bool:
    """Whether these are the columns of Shopify's export of products."""
    return _HANDLE in names and any(name in names for name in _TABLE_NAMES)


def is_shopify_product(sent: Mapping[str, Any]) -> bool:
    """Whether an object is a product as Shopify's products.json has it."""
    variants = sent.get("variants")
    return isinstance(variants, list) and bool(variants) and all(isinstance(one, dict) for one in variants)


def items_of_rows(names: Sequence[str], rows: Iterator[tuple[str, Any]]) -> Finds:
    """One item for each row with a variant; what is said of the product once holds for all of its rows."""
    product: dict[str, str] = {}
    untracked = "Variant Inventory Tracker" in names
    """Where that is a column, an empty one says that nobody counts the stock."""
    for place, values in rows:
        if isinstance(values, Aside):
            yield place, values
            continue
        if len(values) != len(names):
            yield place, Problem(f"it has {len(values)} values, and there are {len(names)} columns")
            continue
        row = {name: value.strip() for name, value in zip(names, values, strict=True) if value.strip()}
        handle = row.get(_HANDLE, "")
        if not handle:
            yield place, Problem("it has no Handle")
            continue
        if handle != product.get(_HANDLE):
            product = row
        if any(name in row for name in ("Variant Price", "Variant SKU", "Option1 Value")):
            yield place, _item_of_row(product, row, untracked=untracked and "Variant Inventory Tracker" not in row)


def _item_of_row(product: Mapping[str, str], row: Mapping[str, str], *, untracked: bool) -> FeedItem:
    handle = row[_HANDLE]
    options = {
        product.get(f"Option{number} Name", f"Option{number}"): row[f"Option{number} Value"]
        for number in _OPTIONS if f"Option{number} Value" in row
    }  # fmt: skip
    options = _told(options)
    item_id = row.get("Variant SKU", "").lstrip("'") or "-".join([handle, *options.values()])
    fields: dict[str, Any] = {
        "title": product.get("Title", handle), "brand": product.get("Vendor"),
        "category": product.get("Type") or product.get("Product Category"),
        "tags": _tags(product.get("Tags")), "description": product.get("Body (HTML)"), "handle": handle,
        "image_link": row.get("Variant Image") or product.get("Image Src"), GROUP: handle,
        "gtin": row.get("Variant Barcode"), **options,
        **_prices(row.get("Variant Price"), row.get("Variant Compare At Price")),
    }  # fmt: skip
    if not untracked and "Variant Inventory Qty" in row:
        fields[STOCK] = row["Variant Inventory Qty"]
    if row.get("Variant Inventory Policy", "").casefold() == "continue":
        fields[AVAILABILITY] = BACKORDER
    return FeedItem(item_id, _given(_hidden(fields, product.get("Status", ""), product.get("Published", ""))))


def items_of_product(sent: Mapping[str, Any]) -> Iterator[FeedItem | Problem]:
    """The variants of a product of products.json."""
    names = [
        str(option.get("name", f"Option{number}")) if isinstance(option, dict) else str(option)
        for number, option in enumerate(_listed(sent.get("options")), start=1)
    ]
    images = [one.get("src") for one in _listed(sent.get("images")) if isinstance(one, dict)]
    image = sent.get("image")
    if isinstance(image, dict):
        images.insert(0, image.get("src"))
    for variant in sent["variants"]:
        item_id = variant.get("sku") or variant.get("id")
        if isinstance(item_id, bool) or not isinstance(item_id, str | int) or not str(item_id).strip():
            yield Problem("a variant has neither a sku nor an id")
            continue
        options = {
            names[number - 1] if number <= len(names) else f"Option{number}": value for number in _OPTIONS
            if isinstance(value := variant.get(f"option{number}"), str)
        }  # fmt: skip
        featured = variant.get("featured_image")
        fields: dict[str, Any] = {
            "title": sent.get("title"), "brand": sent.get("vendor"), "category": sent.get("product_type"),
            "tags": _tags(sent.get("tags")), "description": sent.get("body_html"), "handle": sent.get("handle"),
            "image_link": featured.get("src") if isinstance(featured, dict) else next(iter(images), None),
            GROUP: str(sent.get("id") or sent.get("handle") or item_id), "product_id": sent.get("id"),
            "variant_id": variant.get("id"), "created_at": sent.get("created_at"), "gtin": variant.get("barcode"),
            **_told(options), **_prices(variant.get("price"), variant.get("compare_at_price")),
        }  # fmt: skip
        if "inventory_quantity" in variant and variant.get("inventory_management", "shopify"):
            fields[STOCK] = variant["inventory_quantity"]
        if variant.get("inventory_policy") == "continue":
            fields[AVAILABILITY] = BACKORDER
        elif isinstance(variant.get("available"), bool):
            fields[AVAILABILITY] = variant["available"]
        yield FeedItem(str(item_id).strip(), _given(_hidden(fields, str(sent.get("status") or ""), "")))


def _prices(price: Any, compare_at: Any) -> dict[str, Any]:
    """Shopify's price is what it costs now; the one to compare it with is what it cost before."""
    now, before = read_number(price), read_number(compare_at)
    if not now.fault and not before.fault and before.number > now.number:
        return {"price": compare_at, "sale_price": price}
    return {"price": price}


def _hidden(fields: dict[str, Any], status: str, published: str) -> dict[str, Any]:
    if status.casefold() in _HIDDEN:
        fields[AVAILABILITY] = DISCONTINUED
    elif published.casefold() == "false":
        fields[AVAILABILITY] = OUT_OF_STOCK
    return fields


def _told(options: Mapping[str, str]) -> dict[str, str]:
    """Options as fields, without the one that Shopify makes up for a product that has none."""
    return {
        name.casefold(): value for name, value in options.items()
        if name.casefold() not in _NO_OPTION and value.casefold() not in _NO_OPTION
    }  # fmt: skip


def _tags(sent: Any) -> list[str] | None:
    tags = sent.split(",") if isinstance(sent, str) else _listed(sent)
    return [tag.strip() for tag in tags if isinstance(tag, str) and tag.strip()] or None


def _listed(sent: Any) -> list[Any]:
    return sent if isinstance(sent, list) else []


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "")}
