"""What a sender says a person agrees to, read from the circumstances of an event or of a decision.

Consent tools name categories of their own. `privacy.consent_ids` says which purpose each of them is; where several are
one purpose, all of them have to be agreed to. A statement that cannot be read rejects the event: to take it without
would be to go on without having asked.

| shape | sent by |
|---|---|
| `{"personalization": true}`, also with "granted", "denied" and the like | ours; Google's consent mode |
| `{"categoryPreferences": {"Functional": true}}` | Segment's consent wrappers |
| `consentManagement: {"allowedConsentIds": [...], "deniedConsentIds": [...]}` | RudderStack |
| `"CPc..."`, `{"tcString": "CPc..."}` | tools of the IAB's framework, TCF 2: its purpose 5 is the id `tcf-5` |
| `"granted"`, `"denied"`, also true and false: personalization alone | pages with one switch |
| `["analytics", "functional"]`: what is agreed to, and nothing else is | tools with a list |
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from ..foundation.errors import ConfigRejected, EventRejected, RequestRejected
from ..foundation.limits import CONSENT_IDS_MAX, NAME_CHARS_MAX, PURPOSES_MAX, TCF_CHARS_MAX
from .bodies import body_decoder
from .envelope import Consented
from .kinds import folded

PERSONALIZATION: Final = "personalization"
"""The purpose without which nothing is written about a person and no decision stands on one."""
DEFAULT_CONSENT_IDS: Final[Mapping[str, str]] = {
    "personalization": PERSONALIZATION,
    "personalisation": PERSONALIZATION,
    "personalization_storage": PERSONALIZATION,
    "preferencesProcessingAllowed": PERSONALIZATION,
    "tcf-5": PERSONALIZATION,
    "tcf-6": PERSONALIZATION,
}
"""Ids that mean the same everywhere: Google's consent mode, Shopify's customer privacy, and of the IAB's framework the
purposes "create profiles to personalise content" and "use profiles to select personalised content"."""

_OFF: Final = frozenset({"", "0", "false", "no", "off", "null", "undefined", "unspecified"})
_AGREED: Final = frozenset({"true", "granted", "grant", "allowed", "allow", "accepted", "yes", "1", "optin"})
_DENIED: Final = frozenset({"false", "denied", "deny", "disallowed", "rejected", "declined", "no", "0", "optout"})
_NESTED: Final = frozenset({"categorypreferences", "purposes", "categories"})
_TCF: Final = frozenset({"tcstring", "tcfstring", "tcf", "gdprconsent", "consentstring", "iabtcftcstring"})
_APPLIES: Final = frozenset({"gdprapplies", "gdpr", "iabtcfgdprapplies"})


def _spellings(*names: str) -> frozenset[str]:
    """The ways in which programs write names, given as words with spaces between."""
    ways: set[str] = set()
    for name in names:
        words = name.split(" ")
        title = "".join(word.title() for word in words)
        ways |= {title, title[:1].lower() + title[1:], "".join(words), name.title().replace(" ", "_")}
        ways |= {sep.join(words) for sep in "_-"} | {"_".join(words).upper()}
    return frozenset(ways)


_IN_PLACE: Final = frozenset({"consent", "consentManagement", "tcString"})
NEARLY: Final = (
    _spellings("consent", "consent management", "tc string", "tcf string", "gdpr consent", "iab tcf tc string")
    | {"TCString", "IABTCF_TCString"}
) - _IN_PLACE
"""Names that a statement may have in a context beside its own ones; they are read as it."""
UNREAD: Final = _spellings(
    "gpp", "gpp string", "us privacy", "usp string", "consents", "consent mode", "consent preferences",
    "gpc", "global privacy control", "do not track", "dnt", "opt out", "opted out",
)
"""Names of statements that are read nowhere, and told."""
BESIDE: Final = NEARLY | UNREAD
"""Both, to be looked for in one step."""
MISPLACED: Final = BESIDE | _IN_PLACE
"""Names that a statement has where none is read."""
_ABOUT: Final = frozenset({
    "provider", "resolutionstrategy", "integration", "version", "timestamp", "updatedat", "source", "region", "cmpid",
    "cmpversion", "cmpstatus", "eventstatus", "useroptinstatus",
})  # fmt: skip
"""What tools say about a statement, and not what somebody agreed to."""
_ALLOWED, _REFUSED = "allowedconsentids", "deniedconsentids"
_OWN: Final = frozenset({_ALLOWED, _REFUSED, *_NESTED, *_TCF})
"""Keys that messages may repeat: others are whatever somebody has sent."""
_TCF_VERSION: Final = 2
_TCF_PURPOSES_AT: Final = 152
_TCF_PURPOSES: Final = 24

Said = Iterable[tuple[str, bool]]


_context_of = body_decoder(dict[str, Any])
_HINTS: Final = (b"onsent", b"ONSENT", b"tc", b"TC", b"Tc")
"""One of them is part of each name that a statement has in a context."""
_UNREAD_HINTS: Final = (
    b"gp", b"Gp", b"GP", b"riv", b"RIV", b"sp", b"Sp", b"SP", b"onsent", b"ONSENT", b"rack", b"RACK", b"dnt", b"Dnt",
    b"DNT", b"pt", b"PT",
)  # fmt: skip
"""Likewise of each name that is told."""
_NO_CONTEXT: Final[Mapping[str, Any]] = {}


class Statements:
    """Reads what people agree to. `consent_ids` lead from the ids of a consent tool to purposes.

    >>> Statements({"C0003": "personalization"}).stated({"categoryPreferences": {"C0003": False, "C0001": True}})
    {'personalization': False, 'C0001': True}
    """

    def __init__(self, consent_ids: Mapping[str, str] | None = None, *, purposes: Iterable[str] = ()) -> None:
        """`purposes` are those that features are kept for, beside `personalization`."""
        own = consent_ids or {}
        self._purposes = frozenset((PERSONALIZATION, *purposes))
        if len(own) > CONSENT_IDS_MAX:
            raise ConfigRejected(f"privacy.consent_ids has more than {CONSENT_IDS_MAX} ids", setting="consent_ids")
        self._purpose_of = {folded(sent): purpose for sent, purpose in (*DEFAULT_CONSENT_IDS.items(), *own.items())}

    def stated(
        self, consent: Any, management: Any = None, tc_string: Any = None, context: Mapping[str, Any] = _NO_CONTEXT
    ) -> dict[str, bool] | None:
        """Purposes as stated, None where nothing is; `EventRejected` (`schema`, `too_large`) for what cannot be read.

        Of the `context` around them, what stands there under nearly these names (`NEARLY`) is read too.

        >>> Statements().stated(None, {"deniedConsentIds": ["personalisation"], "provider": "custom"})
        {'personalization': False}
        >>> Statements().stated({"personalization_storage": "granted", "ad_storage": "denied"})
        {'personalization': True, 'ad_storage': False}
        """
        said: dict[str, bool] = {}
        for sent, field in ((consent, "context.consent"), (management, "context.consentManagement")):
            if sent is not None:
                self._add(said, self._read(sent, field))
        if tc_string is not None and tc_string != "":
            self._add(said, _read_tcf(tc_string, "context.tcString"))
        if not NEARLY.isdisjoint(context):
            for name in sorted(NEARLY & context.keys()):
                if context[name] is not None:
                    self._add(said, self._read_near(name, context))
        if len(said) > PURPOSES_MAX:
            raise EventRejected("too_large", f"context.consent has at most {PURPOSES_MAX} purposes")
        return said or None

    def heeds(self, stated: Mapping[str, bool]) -> bool:
        """Whether anything depends on what is stated.

        >>> Statements().heeds({"C0003": False}), Statements(purposes=["email"]).heeds({"email": False, "ads": True})
        (False, True)
        """
        return not self._purposes.isdisjoint(stated)

    def in_context(self, context: msgspec.Raw) -> dict[str, bool] | None:
        """Purposes as a decision's circumstances state them; raises `RequestRejected`."""
        raw = bytes(context)
        if not any(hint in raw for hint in _HINTS):
            return None
        sent = _context_of(raw)
        try:
            return self.stated(sent.get("consent"), sent.get("consentManagement"), sent.get("tcString"), sent)
        except EventRejected as error:
            raise RequestRejected(error.code, error.message) from None

    def _add(self, said: dict[str, bool], statements: Said) -> None:
        """Put statements with those before: about one purpose all have to agree."""
        for sent, agreed in statements:
            purpose = self._purpose_of.get(folded(sent))
            if purpose is None:
                if sent.startswith("tcf-"):
                    continue
                purpose = sent
            if len(purpose) > NAME_CHARS_MAX:
                reason = f"a purpose in context.consent has at most {NAME_CHARS_MAX} characters"
                raise EventRejected("too_large", reason)
            said[purpose] = agreed and said.get(purpose, True)

    def _read_near(self, name: str, context: Mapping[str, Any]) -> Said:
        sent = context[name]
        if folded(name) not in _TCF:
            return self._read(sent, f"context.{name}")
        applies = not any(folded(key) in _APPLIES and _word(context[key]) is False for key in context)
        return _read_tcf(sent, f"context.{name}") if applies and sent != "" else ()

    def _read(self, sent: Any, field: str) -> Said:
        if isinstance(sent, bool | str) and (agreed := _word(sent)) is not None:
            return [(PERSONALIZATION, agreed)]
        if isinstance(sent, dict):
            return self._read_map(sent, field)
        if isinstance(sent, list):
            return self._read_allowed(sent, field)
        if isinstance(sent, str):
            return _read_tcf(sent, field) if sent.strip() else ()
        raise _unreadable(field, sent)

    def _read_map(self, sent: Mapping[str, Any], field: str) -> Iterator[tuple[str, bool]]:
        keys = {folded(key): key for key in sent}
        applies = not any(_word(sent[keys[key]]) is False for key in _APPLIES & keys.keys())
        for key, value in sent.items():
            kind = folded(key)
            if value is None or kind in _ABOUT or kind in _APPLIES:
                continue
            place = f"{field}.{key}" if kind in _OWN or kind in self._purpose_of else f"a purpose in {field}"
            if kind == _ALLOWED:
                yield from self._read_ids(value, place, agreed=True, alone=_REFUSED not in keys)
            elif kind == _REFUSED:
                yield from self._read_ids(value, place, agreed=False)
            elif kind in _TCF and isinstance(value, str):
                yield from _read_tcf(value, place) if applies and value.strip() else ()
            elif kind in _NESTED and isinstance(value, dict):
                yield from self._read_map(value, place)
            elif (agreed := _word(value)) is not None:
                yield key, agreed
            else:
                raise _unreadable(place, value)

    def _read_ids(self, sent: Any, field: str, *, agreed: bool, alone: bool = False) -> Said:
        if isinstance(sent, dict):
            return self._read_map(sent, field)
        if not isinstance(sent, list):
            raise _unreadable(field, sent)
        return self._read_allowed(sent, field) if alone else [(_id_in(one, field), agreed) for one in sent]

    def _read_allowed(self, sent: Sequence[Any], field: str) -> Said:
        """A list of all that is agreed to: personalization that is not among it is not."""
        allowed = [(_id_in(one, field), True) for one in sent]
        purposes = {self._purpose_of.get(folded(one)) for one, _ in allowed}
        return allowed if PERSONALIZATION in purposes else [*allowed, (PERSONALIZATION, False)]


def _id_in(sent: Any, field: str) -> str:
    if isinstance(sent, str | int) and not isinstance(sent, bool):
        return str(sent)
    raise _unreadable(f"{field}[]", sent)


def _word(sent: Any) -> bool | None:
    """A statement in whatever words, None where it is none.

    >>> _word(True), _word("Denied"), _word(0), _word("perhaps")
    (True, False, False, None)
    """
    if isinstance(sent, bool):
        return sent
    if isinstance(sent, str | int):
        word = folded(str(sent))
        return True if word in _AGREED else False if word in _DENIED else None
    return None


def _read_tcf(sent: Any, field: str) -> Said:
    """The purposes of a TCF 2 string, as `tcf-1` to `tcf-24`; the layout is the IAB's "Transparency and consent string
    format, version 2", core string."""
    if not isinstance(sent, str) or len(sent) > TCF_CHARS_MAX:
        raise _unreadable(field, sent)
    core = sent.strip().partition(".")[0]
    try:
        raw = base64.b64decode(core + "=" * (-len(core) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _unreadable(field, sent) from None
    bits = int.from_bytes(raw, "big")
    length = 8 * len(raw)
    if length < _TCF_PURPOSES_AT + _TCF_PURPOSES or (version := bits >> (length - 6)) != _TCF_VERSION:
        known = f"of version {version}" if length >= _TCF_PURPOSES_AT + _TCF_PURPOSES else "too short"
        raise EventRejected("schema", f"{field} is no consent string of TCF version {_TCF_VERSION}: it is {known}")
    last = length - _TCF_PURPOSES_AT - 1
    return [(f"tcf-{number + 1}", bool(bits >> (last - number) & 1)) for number in range(_TCF_PURPOSES)]


def unread_in(context: msgspec.Raw) -> list[str]:
    """The names under which a decision's circumstances say something of consent that is read nowhere.

    >>> unread_in(msgspec.Raw(b'{"gpp": "DBAA", "page": {"url": "/gpp"}}'))
    ['gpp']
    """
    raw = bytes(context)
    if not any(hint in raw for hint in _UNREAD_HINTS):
        return []
    sent = _context_of(raw)
    return [name for name in sorted(UNREAD & sent.keys()) if says_something(sent[name])]


def says_something(value: Any) -> bool:
    """Whether a statement that is not read would say something, if it were: no empty field, no switch that is off.

    >>> says_something("DBAA"), says_something(True), says_something("unspecified"), says_something(0)
    (True, True, False, False)
    """
    if isinstance(value, str):
        return folded(value) not in _OFF
    return value is not None and value is not False and value != 0


def _unreadable(field: str, sent: Any) -> EventRejected:
    kinds = {dict: "a map", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    kind = kinds.get(type(sent), "a number")
    wanted = "purposes with true or false, lists of consent ids, or a consent string of TCF version 2"
    return EventRejected("schema", f"{field} is {kind} that says nothing about consent; it holds {wanted}")


def consented(
    statement: Mapping[str, bool], at_ms: int, tenant: str, cells: Sequence[int]
) -> tuple[Consented, ...]:
    return tuple(Consented(at_ms, tenant, cell, dict(statement)) for cell in cells)
