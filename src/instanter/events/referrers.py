"""Where a visit comes from: search, social, ai_assistant, email, paid, direct or other.

Hosts are those of `lists/referrers.json`; webmail and advertisement hosts, which those lists leave out, are here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib.resources import files
from urllib.parse import parse_qsl

import msgspec

from ..foundation.limits import NAME_CHARS_MAX, PARSED_REFERRERS_MAX, REFERRER_CHARS_MAX

SEARCH = "search"
SOCIAL = "social"
AI_ASSISTANT = "ai_assistant"
EMAIL = "email"
PAID = "paid"
DIRECT = "direct"
OTHER = "other"


class Referral(msgspec.Struct, frozen=True):
    """Where a visit comes from."""

    medium: str = ""
    """One of the classes above; "" when neither a page nor a referrer was sent."""
    source: str = ""
    """The engine, network or assistant by name, where known."""


NO_REFERRAL = Referral()

_ELSEWHERE = {
    EMAIL: {
        "Gmail": ("mail.google.com", "com.google.android.gm", "inbox.google.com"),
        "Outlook": ("outlook.live.com", "mail.live.com", "outlook.office.com", "outlook.office365.com", "outlook.com"),
        "Yahoo! Mail": ("mail.yahoo.com", "mail.yahoo.net", "mail.yahoo.co.jp"),
        "AOL Mail": ("mail.aol.com",),
        "iCloud Mail": ("www.icloud.com/mail",),
        "Proton Mail": ("mail.proton.me", "mail.protonmail.com"),
        "GMX": ("deref-gmx.{}", "gmx.{}", "gmx.co.uk"),
        "Mail.com": ("deref-mail.com", "mail.com"),
        "Web.de": ("deref-web.de", "deref-web-02.de", "3c.web.de"),
        "Mail.ru": ("e.mail.ru", "touch.mail.ru"),
        "Yandex Mail": ("mail.yandex.{}",),
        "Zoho Mail": ("mail.zoho.{}",),
        "Fastmail": ("app.fastmail.com", "www.fastmail.com"),
        "QQ Mail": ("mail.qq.com",),
        "163 Mail": ("mail.163.com",),
    },
    PAID: {
        "Google Ads": (
            "googleadservices.com", "googlesyndication.com", "doubleclick.net", "syndicatedsearch.goog",
            "adsensecustomsearchads.com", "googlesyndicatedsearch.com",
        ),
        "Taboola": ("taboola.com", "taboolanews.com"),
        "Outbrain": ("outbrain.com",),
        "Criteo": ("criteo.com", "criteo.net"),
        "Amazon Ads": ("amazon-adsystem.com",),
        "Microsoft Ads": ("adnxs.com",),
    },
    AI_ASSISTANT: {
        "Poe": ("poe.com",),
        "Character.AI": ("character.ai",),
        "You.com": ("you.com",),
        "Kimi": ("kimi.com", "kimi.moonshot.cn"),
        "Doubao": ("doubao.com",),
    },
}  # fmt: skip

_MAIL_LABEL = re.compile(r"^(?:web|w|e|light)?mail(?:er)?[0-9]*(?:[a-z]|-[a-z0-9]+)?$|^mailbusiness$|^messagerie")
_PAID_MEDIUM = re.compile(r"^(?:.*cp[cmav]|ppc|retargeting|remarketing|paid.*|display|banner|ads?|sem)$")
_EMAIL_MEDIUM = frozenset({"email", "e-mail", "e_mail", "e mail", "mail", "newsletter"})
_SOCIAL_MEDIUM = frozenset({"social", "social-network", "social-media", "sm", "social network", "social media"})
_CLICK = re.compile(
    r"[?&](?:(gclid|gbraid|wbraid|gclsrc|dclid|msclkid|ttclid|twclid|yclid|li_fat_id|epik|rdt_cid|sccid)|(fbclid))=",
    re.IGNORECASE,
)
_AD = 1
_FACEBOOK = 2
"""Facebook marks every link that leaves it, paid or not."""
_SECOND_LEVEL = frozenset({"co", "com", "net", "org", "ne", "or", "gov", "ac"})
_SEARCH_LABEL = re.compile(r"search|suche|^(?:www?\d*|m|images?|[a-z]{2,3})$")


def host_of(url: str) -> str:
    """The host of an address in lower case, without port, user and "www."; "" when there is none.

    >>> host_of("https://me@www.Shop.example:8443/p/1?q=2"), host_of("/p/1"), host_of("android-app://com.example.app/")
    ('shop.example', '', 'com.example.app')
    """
    _, slashes, rest = url[:REFERRER_CHARS_MAX].partition("//")
    if not slashes:
        return ""
    host = rest.partition("/")[0].partition("?")[0].partition("#")[0].rpartition("@")[2].partition(":")[0]
    return host.lower().rstrip(".").removeprefix("www.")


class Referrers:
    """Classes of referrers. What a page address says of advertisements comes before the referrer itself."""

    def __init__(self) -> None:
        self._by_host = dict(_hosts())
        self._known: dict[tuple[str, str, str, str, int], Referral] = {}

    def forget(self) -> None:
        """Empty the cache."""
        self._known.clear()

    def refer(self, referrer: str, *, page_url: str, source: str = "", medium: str = "") -> Referral:
        """Where the visit comes from; "" for what was not sent. Cached by everything but the page's path.

        A referrer on the page's own host is `direct`: the visit went on, nobody sent it.
        """
        if not (page_url or referrer or source or medium):
            return NO_REFERRAL
        clicked = _click_mark(page_url) if "?" in page_url else 0
        key = (referrer[:REFERRER_CHARS_MAX], _authority(page_url), source, medium, clicked)
        known = self._known.get(key)
        if known is not None:
            return known
        if len(self._known) >= PARSED_REFERRERS_MAX:
            self._known.clear()
        referral = self._known[key] = self._judge(*key)
        return referral

    def _judge(self, referrer: str, authority: str, source: str, medium: str, clicked: int) -> Referral:
        found = self.classify(referrer)
        if not found.medium and "." in source:
            found = self.classify("//" + source)  # utm_source=chatgpt.com: assistants send no referrer but this.
        medium = medium.strip().lower()
        if clicked == _AD or _PAID_MEDIUM.match(medium):
            return Referral(PAID, found.source)
        if medium in _EMAIL_MEDIUM:
            return Referral(EMAIL, found.source)
        if found.medium:
            return found
        if clicked == _FACEBOOK:
            return Referral(SOCIAL, "Facebook")
        if medium in _SOCIAL_MEDIUM:
            return Referral(SOCIAL)
        if source or medium:
            return Referral(OTHER)
        host = host_of(referrer)
        return Referral(DIRECT if _same_site(host, host_of("//" + authority)) else OTHER)

    def classify(self, url: str) -> Referral:
        """The class of one address by its host alone; an empty medium when no list knows it.

        >>> Referrers().classify("https://www.google.co.uk/search?q=sofa")
        Referral(medium='search', source='Google')
        """
        host = host_of(url)
        if not host or host.count(".") > 16:
            return NO_REFERRAL
        path = url[:REFERRER_CHARS_MAX].partition("//")[2].partition("/")[2].partition("?")[0].rstrip("/")
        while path:
            for form in _country_forms(host):
                found = self._by_host.get(f"{form}/{path}")
                if found is not None:
                    return found
            path = path.rpartition("/")[0] if path.count("/") < 4 else "/".join(path.split("/")[:4])
        return self._by_suffix(host)

    def _by_suffix(self, host: str) -> Referral:
        labels = host.split(".")
        mailing = any(_MAIL_LABEL.match(label) for label in labels[:-2])
        for start in range(max(1, len(labels) - 1)):
            for form in _country_forms(".".join(labels[start:])):
                found = self._by_host.get(form)
                if found is not None and _covers(found, labels[:start], mailing):
                    return found
        return Referral(EMAIL) if mailing else NO_REFERRAL


def _covers(found: Referral, before: list[str], mailing: bool) -> bool:
    """Whether an entry holds for a host with these further labels before it: docs.google.com is no search."""
    if found.medium == SEARCH:
        return not before or (not mailing and all(_SEARCH_LABEL.search(label) for label in before))
    return not (mailing and before and found.medium == SOCIAL)


def _country_forms(host: str) -> Iterator[str]:
    """The host as it may stand in a list: itself, or with `{}` for its country."""
    yield host
    labels = host.split(".")
    yield ".".join([*labels[:-1], "{}"])
    if len(labels) > 2 and labels[-2] in _SECOND_LEVEL:
        yield ".".join([*labels[:-2], "{}"])
    if len(labels) > 2 and len(labels[0]) <= 3:
        yield ".".join(["{}", *labels[1:]])


def _authority(url: str) -> str:
    """Where the host of an address is, still as sent: enough to tell pages of one site from another's."""
    parts = url[:REFERRER_CHARS_MAX].split("/", 3)
    return parts[2] if len(parts) > 2 else ""


def _click_mark(page_url: str) -> int:
    """What an advertiser's or network's click id in a page address says: `_AD`, `_FACEBOOK` or 0."""
    match = _CLICK.search(page_url[:REFERRER_CHARS_MAX])
    return (match.lastindex or 0) if match is not None else 0


def _same_site(host: str, own_host: str) -> bool:
    """No referrer, the page's own host, or a subdomain either way."""
    return not host or host == own_host or host.endswith("." + own_host) or own_host.endswith("." + host)


def _hosts() -> Iterator[tuple[str, Referral]]:
    """Every known host, ours last so that they stand where both name one."""
    vendored = msgspec.json.decode(
        files(__package__).joinpath("lists/referrers.json").read_bytes(), type=dict[str, dict[str, list[str]]]
    )
    for medium, names in vendored.items():
        for name, hosts in names.items():
            yield from _entries(medium, name, hosts)
    for medium, own_names in _ELSEWHERE.items():
        for name, own_hosts in own_names.items():
            yield from _entries(medium, name, own_hosts)


def _entries(medium: str, name: str, hosts: Iterable[str]) -> Iterator[tuple[str, Referral]]:
    referral = Referral(medium, name)
    for host in hosts:
        yield host.removeprefix("www."), referral


def campaign_of(page_url: str) -> dict[str, str]:
    """The utm parameters of a page address by what follows "utm_"; empty when there are none.

    >>> campaign_of("https://shop.example/?utm_source=ig&utm_medium=paid_social&q=1")
    {'source': 'ig', 'medium': 'paid_social'}
    """
    query = page_url[:REFERRER_CHARS_MAX].partition("?")[2].partition("#")[0]
    return {
        key.removeprefix("utm_"): value[:NAME_CHARS_MAX]
        for key, value in parse_qsl(query, max_num_fields=None)
        if key.startswith("utm_")
    }
