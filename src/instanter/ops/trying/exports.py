"""Exports whose shape is known: Snowplow's lines and contexts, Google Analytics' parameters, Metarank's fields.

Each comes out as a plain object whose names say what they are; what is none of these stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

METARANK: Final = "Metarank"
_SNOWPLOW: Final = (
    "app_id platform etl_tstamp collector_tstamp dvce_created_tstamp event event_id txn_id name_tracker v_tracker "
    "v_collector v_etl user_id user_ipaddress user_fingerprint domain_userid domain_sessionidx network_userid "
    "geo_country geo_region geo_city geo_zipcode geo_latitude geo_longitude geo_region_name ip_isp ip_organization "
    "ip_domain ip_netspeed page_url page_title page_referrer page_urlscheme page_urlhost page_urlport page_urlpath "
    "page_urlquery page_urlfragment refr_urlscheme refr_urlhost refr_urlport refr_urlpath refr_urlquery "
    "refr_urlfragment refr_medium refr_source refr_term mkt_medium mkt_source mkt_term mkt_content mkt_campaign "
    "contexts se_category se_action se_label se_property se_value unstruct_event tr_orderid tr_affiliation tr_total "
    "tr_tax tr_shipping tr_city tr_state tr_country ti_orderid ti_sku ti_name ti_category ti_price ti_quantity"
)
SNOWPLOW_COLUMNS: Final = tuple(_SNOWPLOW.split())
"""The first columns of an enriched event, in order; those behind them say nothing of an item."""
_LINE_COLUMNS_LEAST: Final = 100
"""A line of enriched events has 131."""
_PLATFORM, _COLLECTED, _EVENT_ID = 1, 3, 6
_UUID_CHARS: Final = 36
_CONTEXT: Final = "contexts_"
_UNSTRUCT: Final = "unstruct_event_"
_PRODUCT: Final = "product"
_ACTION: Final = "ecommerce_action"
_VALUES: Final = ("string_value", "int_value", "float_value", "double_value")


def is_snowplow_line(values: Sequence[str]) -> bool:
    """Whether the values of a line without a header are an enriched event of Snowplow."""
    return (
        len(values) >= _LINE_COLUMNS_LEAST and len(values[_EVENT_ID]) == _UUID_CHARS and values[_COLLECTED][:2] == "20"
        and values[_PLATFORM].isalpha()
    )  # fmt: skip


def kind_of(sample: Sequence[Mapping[str, Any]]) -> str:
    """In words, whose export these objects or rows are as they were sent; "" for no known one.

    >>> kind_of([{"event_name": "view_item", "event_timestamp": "1", "user_pseudo_id": "7.1"}]), kind_of([{"id": 1}])
    ('Google Analytics 4', '')
    """
    names = {name for one in sample[:20] for name in one}
    if {"event_name", "event_timestamp", "user_pseudo_id"} <= names:
        return "Google Analytics 4"
    if {"collector_tstamp", "domain_userid"} <= names or {"event_id", "v_collector"} <= names:
        return "Snowplow"
    if {"is_eligible_search", "enable_search", "is_eligible_checkout", "enable_checkout"} & names:
        return "Agentic Commerce Protocol"
    if _is_metarank(sample[0] if sample else {}):
        return METARANK
    if "type" in names and names & {"userId", "anonymousId"}:
        return "tracking events"
    return ""


def plain(sent: dict[str, Any]) -> dict[str, Any]:
    """An object with what a known export wraps in maps and lists of its own under plain names.

    >>> plain({"event": "item", "item": "3", "fields": [{"name": "title", "value": "Heat"}]})
    {'event': 'item', 'item': '3', 'title': 'Heat'}
    >>> plain({"event_name": "purchase", "event_params": [{"key": "currency", "value": {"string_value": "EUR"}}]})
    {'event_name': 'purchase', 'currency': 'EUR'}
    """
    if isinstance(sent.get("event_params"), list):
        told = {name: value for name, value in sent.items() if name != "event_params"}
        return told | {name: value for name, value in _parameters(sent["event_params"]).items() if name not in told}
    if "collector_tstamp" in sent or "v_collector" in sent:
        return _of_snowplow(sent)
    if _is_metarank(sent):
        return _of_metarank(sent)
    return sent


def _parameters(params: Sequence[Any]) -> dict[str, Any]:
    """Google Analytics' parameters by name."""
    found: dict[str, Any] = {}
    for one in params:
        if isinstance(one, dict) and isinstance(one.get("key"), str) and isinstance(one.get("value"), dict):
            value = next((one["value"][kind] for kind in _VALUES if one["value"].get(kind) is not None), None)
            found[one["key"]] = value
    return found


def _of_snowplow(sent: dict[str, Any]) -> dict[str, Any]:
    """The event with its products as `items`, and its e-commerce action as its name."""
    told = {name: value for name, value in sent.items() if not name.startswith((_CONTEXT, _UNSTRUCT))}
    items: list[Any] = []
    action = ""
    for schema, data in (*_described(sent.get("contexts")), *_described(sent.get("unstruct_event")), *_flat(sent)):
        if schema == _PRODUCT and isinstance(data, dict):
            items.append(data)
        elif _ACTION in schema and isinstance(data, dict):
            action = str(data.get("type") or "")
        elif schema == "transaction" and isinstance(data, dict) and data.get("transaction_id"):
            told["transaction_id"] = data["transaction_id"]
        elif isinstance(data, dict) and told.get("event") in ("unstruct", "self_describing"):
            action = action or schema
            items += [data] if any("id" in name.casefold() or name == "sku" for name in data) else []
    told.pop("contexts", None)
    told.pop("unstruct_event", None)
    if told.get("se_action") and not action:
        action = str(told["se_action"])
    if action:
        told["event"] = action
    if items:
        told["items"] = items
    return told


def _described(sent: Any) -> list[tuple[str, Any]]:
    """Name of the schema and data of each self-describing part of a column."""
    if isinstance(sent, str):
        try:
            sent = json.loads(sent) if sent else None
        except (ValueError, RecursionError):
            return []
    data = sent.get("data") if isinstance(sent, dict) else None
    parts = data if isinstance(data, list) else [data]
    return [(_schema_name(one["schema"]), one.get("data")) for one in parts
            if isinstance(one, dict) and isinstance(one.get("schema"), str)]  # fmt: skip


def _schema_name(uri: str) -> str:
    """
    >>> _schema_name("iglu:com.snowplowanalytics.snowplow.ecommerce/product/jsonschema/1-0-0")
    'product'
    """
    parts = uri.split("/")
    return parts[1] if len(parts) > 1 else ""


def _flat(sent: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The same of what Snowplow's analytics SDKs and loaders make of it: a name with vendor, schema and version."""
    found: list[tuple[str, Any]] = []
    for name, value in sent.items():
        if not name.startswith((_CONTEXT, _UNSTRUCT)) or value is None:
            continue
        words = name.rstrip("0123456789_").split("_")
        schema = _ACTION if _ACTION in name else words[-1]
        found += [(schema, one) for one in (value if isinstance(value, list) else [value])]
    return found


def _is_metarank(sent: Mapping[str, Any]) -> bool:
    """Whether it is an event of Metarank's: its fields are a list of names and values."""
    if sent.get("event") not in ("item", "user", "ranking", "interaction", None):
        return False
    fields = sent.get("fields")
    named = isinstance(fields, list) and all(isinstance(one, dict) and "name" in one for one in fields)
    return named and ("item" in sent or "user" in sent)


def _of_metarank(sent: dict[str, Any]) -> dict[str, Any]:
    told = {name: value for name, value in sent.items() if name != "fields"}
    if sent.get("event") == "item" or "user" not in sent:
        told.pop("id", None)
        told.pop("timestamp", None)
    told |= {str(one["name"]): one.get("value") for one in sent["fields"]}
    if "items" in sent:
        told["event"] = "Product List Viewed"
    elif "type" in sent:
        told["event"] = str(told.pop("type"))
    return told
