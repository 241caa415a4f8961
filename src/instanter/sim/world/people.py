"""The people of a world: their ids, their devices with clocks that are wrong, and the events that these send."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ..chance import Chance
from .accounts import ADDED, DAY_MS, HOUR_MS, MINUTE_MS, OTHER, VIEWED, Sent

YEAR_MS: Final = 365 * DAY_MS
ITEMS: Final = tuple(f"sku-{number}" for number in range(8))
DEVICES_MAX: Final = 12
IDENTIFIED: Final = "Identified"
ALIASED: Final = "Aliased"
MARK: Final = "jf83kq"
"""Part of everything personal, and of nothing else: it must not be found in any file."""
_SKEWS_MS: Final = (0, 0, 0, 7, -40_000, 20 * MINUTE_MS, -3 * DAY_MS, 10 * YEAR_MS, -10 * YEAR_MS)
_AGES_MS: Final = (0, 0, 0, 1_000, 20_000, 10 * MINUTE_MS, 29 * MINUTE_MS, 31 * MINUTE_MS, 5 * HOUR_MS,
                   23 * HOUR_MS, 25 * HOUR_MS, 60 * HOUR_MS, -1 * HOUR_MS)  # fmt: skip
"""How long ago an event happened, as the device has it; inside and beyond every lateness, and to come."""
_ZONES_H: Final = (0, 0, 2, -7, 5.5)


class Person:
    """Somebody with devices of their own, one that others use too, and a user id. Everything sent is remembered, to be
    sent again."""

    def __init__(self, number: int, chance: Chance, kiosk: int) -> None:
        self.number = number
        self.name = f"{MARK}-{number}"
        count = DEVICES_MAX if chance.happens(0.2) else 2
        self.devices = [f"anonymous:{self.name}-{device}" for device in range(count)]
        self.kiosk = f"anonymous:{MARK}-kiosk-{kiosk}"
        self.history: list[Sent] = []
        self.claims: list[Sent] = []
        self._chance = chance
        self._skew_ms = chance.pick(_SKEWS_MS)
        self._tells_sent_at = abs(self._skew_ms) > MINUTE_MS or chance.happens(0.5)
        self._messages = 0
        self._renamed = False

    @property
    def former(self) -> str:
        """A user id that this person had before."""
        return f"{self.name}-former"

    @property
    def ids(self) -> list[str]:
        """All ids of this person, in the form of `GET /v1/profiles/{id}`."""
        former = [self.former, f"anonymous:{self.former}"] if self._renamed else []
        return [*self.devices, self.kiosk, self.name, *former]

    def event(self, true_ms: int) -> Sent:
        """Something new that a device sends at `true_ms`."""
        chance = self._chance
        name = chance.pick((VIEWED, VIEWED, VIEWED, ADDED, OTHER))
        item = chance.pick(ITEMS) if name != OTHER else ""
        price = chance.below(500) if name == ADDED else 0
        properties = {"product_id": item, "price": price} if item else {}
        who = chance.pick([self.devices[0], self.devices[0], chance.pick(self.devices), self.kiosk, self.name])
        user = self.name if who != self.name and chance.happens(0.2) else ""
        return self._made(true_ms, who, name=name, item=item, price=price, properties=properties, user=user)

    def views(self, true_ms: int, item: str) -> Sent:
        """A look at this item."""
        properties = {"product_id": item}
        return self._made(true_ms, self.devices[0], name=VIEWED, item=item, properties=properties)

    def identify(self, true_ms: int) -> Sent:
        """A device learns who is using it."""
        who = self._chance.pick([*self.devices, self.kiosk])
        return self._made(true_ms, who, name=IDENTIFIED, user=self.name)

    def alias(self, true_ms: int, chance: Chance) -> list[Sent]:
        """Another id is told to be the user's, behind something done under a former one, or before it, or alone: mostly
        that one, now and then a device's, or that of whoever uses the same kiosk."""
        self._renamed = True
        device, other = self.devices[-1].removeprefix("anonymous:"), f"{MARK}-{self.number ^ 1}"
        previous = chance.pick((self.former, self.former, self.former, device, other))
        who = chance.pick((self.name, self.devices[0]))
        told = self._made(true_ms, who, name=ALIASED, user=self.name, previous=previous)
        before = self._made(true_ms, self.former, name=VIEWED, item=ITEMS[1], properties={"product_id": ITEMS[1]})
        return [[told], [before, told], [told, before]][chance.below(3)]

    def claim(self, true_ms: int) -> Sent:
        """A page says who is using the device, with a key that everybody can read."""
        who = self._chance.pick([self.devices[0], self.kiosk])
        return self._made(true_ms, who, name=VIEWED, item=ITEMS[0], properties={"product_id": ITEMS[0]},
                          user=self.name, public=True)  # fmt: skip

    def statement(self, *, agrees: bool) -> Sent:
        """A device says whether its user agrees to personalization, at the time when it is received."""
        who = self._chance.pick(self.ids)
        self._messages += 1
        name = f"{self.name}-{self._messages}"
        anonymous = who.removeprefix("anonymous:")
        body = {
            "type": "track", "event": OTHER, "messageId": name,
            "anonymousId" if anonymous != who else "userId": anonymous,
            "context": {"consent": {"personalization": agrees}},
        }  # fmt: skip
        return self._remember(Sent(name, who, OTHER, json.dumps(body).encode(), agrees=agrees))

    def _made(
        self, true_ms: int, who: str, *, name: str, item: str = "", price: int = 0, user: str = "",
        properties: dict[str, Any] | None = None, public: bool = False, previous: str = "",
    ) -> Sent:  # fmt: skip
        chance = self._chance
        self._messages += 1
        device_ms = max(true_ms + self._skew_ms, 0)
        timestamp_ms = device_ms - chance.pick(_AGES_MS) + chance.below(3_000) if chance.happens(0.9) else None
        type_ = {IDENTIFIED: "identify", ALIASED: "alias"}.get(name, "track")
        body: dict[str, Any] = {"type": type_, "messageId": f"{self.name}-{self._messages}"}
        anonymous = who.removeprefix("anonymous:")
        if anonymous != who:
            body["anonymousId"] = anonymous
        if user or anonymous == who:
            body["userId"] = user or who
        if previous:
            body["previousId"] = previous
        if type_ == "track":
            body["event"] = name
        if timestamp_ms is not None:
            body["timestamp"] = self._written(timestamp_ms)
        if self._tells_sent_at:
            body["sentAt"] = self._written(device_ms)
        body["properties"] = {**(properties or {}), "note": MARK}
        return self._remember(Sent(
            body["messageId"], who, name, json.dumps(body).encode(), item, price, user if user != who else "",
            previous, public, timestamp_ms=timestamp_ms, sent_at_ms=device_ms if self._tells_sent_at else None,
        ))  # fmt: skip

    def _remember(self, sent: Sent) -> Sent:
        (self.claims if sent.public else self.history).append(sent)
        return sent

    def _written(self, at_ms: int) -> str | int:
        """A time as devices write it: a number, or text in the zone of the moment."""
        if self._chance.happens(0.3):
            return at_ms
        zone_h = self._chance.pick(_ZONES_H)
        seconds, ms = divmod(at_ms, 1_000)
        local = datetime.fromtimestamp(seconds, UTC) + timedelta(hours=zone_h)
        sign, minutes = ("-" if zone_h < 0 else "+"), int(abs(zone_h) * 60)
        return f"{local:%Y-%m-%dT%H:%M:%S}.{ms:03d}{sign}{minutes // 60:02d}:{minutes % 60:02d}"


def bad_event(number: int, chance: Chance) -> tuple[str, bytes]:
    """Something that is no event, and its message id where it has one."""
    message_id = f"bad-{number}"
    made: list[Callable[[], bytes]] = [
        lambda: json.dumps({"type": "track", "messageId": message_id, "event": VIEWED, "note": MARK}).encode(),
        lambda: json.dumps({"type": "dance", "messageId": message_id, "anonymousId": MARK}).encode(),
        lambda: b'{"type": "track", "anonymousId": "%s", "event": ' % MARK.encode(),
    ]
    return message_id, chance.pick(made)()
