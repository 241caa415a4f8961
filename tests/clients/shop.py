"""The shop that clients send to, and what it shows of what they sent."""

from __future__ import annotations

import json
import threading
from typing import Any
from urllib.parse import quote

import httpx

CHAIRS = [f"chair-{number}" for number in range(8)]
LAMPS = [f"lamp-{number}" for number in range(8)]
LOOK_S = 0.1
LOOKS_MAX = 1_800
"""Looks until what was sent must be there."""


class Shop:
    """A server that asks for keys, with a catalogue in it."""

    def __init__(self, port: int, *, admin: str, secret: str, public: str) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.admin = admin
        self.secret = secret
        self.public = public
        self._http = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {admin}"}, timeout=30)
        items = [
            {"id": item, "fields": {"title": item, "category": item.partition("-")[0] + "s", "price": 10.0}}
            for item in (*LAMPS, *CHAIRS)
        ]
        assert self._http.post("/v1/items", json={"items": items}).status_code == 200

    def close(self) -> None:
        self._http.close()

    def views(self, person: str) -> float:
        """How many views of products count for a person; 0 for one who is not known."""
        reply = self._http.get(f"/v1/profiles/{quote(person, safe='')}")
        return float(reply.json()["features"].get("views") or 0) if reply.status_code == 200 else 0.0

    def profile(self, person: str) -> Any:
        reply = self._http.get(f"/v1/profiles/{quote(person, safe='')}")
        assert reply.status_code == 200, reply.text
        return reply.json()

    def events(self, person: str) -> list[dict[str, Any]]:
        """The events of a person, as they are kept."""
        reply = self._http.get(f"/v1/profiles/{quote(person, safe='')}/export")
        text = reply.text if reply.status_code == 200 else ""  # Nobody of that name yet.
        return [line["event"] for line in map(json.loads, text.splitlines()) if line["kind"] == "event"]

    def wait_for_views(self, person: str, views: int) -> None:
        """Until so many views count, or there has been time enough."""
        for _ in range(LOOKS_MAX):
            if self.views(person) >= views:
                return
            threading.Event().wait(LOOK_S)

    def wait_for_event(self, person: str, name: str) -> None:
        """Until a person has an event of that name or type."""
        for _ in range(LOOKS_MAX):
            if any(name in (event.get("event"), event["type"]) for event in self.events(person)):
                return
            threading.Event().wait(LOOK_S)

    def forget(self, *items: str) -> None:
        """Take items out that one test has put in."""
        assert self._http.post("/v1/items/delete", json={"ids": items}).status_code == 200

    def decide(self, **person: str) -> tuple[str, list[str]]:
        """The rung that answers, and the categories of what a person is shown."""
        asked = {**person, "placements": [{"id": "home.recommended", "limit": 4}], "deadlineMs": 10_000}
        reply = self._http.post("/v1/decide", json=asked)
        assert reply.status_code == 200, reply.text
        placed = reply.json()["placements"]["home.recommended"]
        return placed["servedBy"], [item["id"].partition("-")[0] for item in placed["items"]]
