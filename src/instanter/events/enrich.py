"""Enrichment at capture: from what a sender tells of the circumstances to classes and codes, nothing personal."""

from __future__ import annotations

import re
from pathlib import Path

from ..foundation.clock import elapsed_ns
from ..foundation.limits import AGENT_CHARS_MAX, CONTEXTS_MAX, NAME_CHARS_MAX
from .addresses import Countries, truncated
from .agents import NO_AGENT, Agents
from .envelope import Context, Flag
from .referrers import Referrers, campaign_of
from .schema import Circumstances, Page, ReferrerLink

_PERSON = int(Flag.NONE)
_BOT = int(Flag.BOT)

_LOCALE = re.compile(r"([A-Za-z]{2,3})(?:[-_]([A-Za-z]{4}))?(?:[-_]([A-Za-z]{2}|[0-9]{3}))?(?![A-Za-z0-9])")
_TIMEZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,30}(?:/[A-Za-z0-9_+-]{1,30}){0,2}")
_NO_PAGE = Page()
_CODE_CHARS_MAX = 64
_KEY_CHARS_MAX = 2 * AGENT_CHARS_MAX
"""Longer circumstances are worked out each time."""

Origin = tuple[str, str, str, str, str]
"""Class and source of the referrer; source, medium and name of the campaign."""

_Key = tuple[str | None, str | None, str | None, str, Origin]
_NO_ORIGIN: Origin = ("", "", "", "", "")


def locale_code(sent: str) -> str:
    """A locale as language-Script-REGION, or "" when it is none.

    >>> locale_code("en_gb.UTF-8"), locale_code("zh-hans-cn"), locale_code("de,en;q=0.8"), locale_code("none of it")
    ('en-GB', 'zh-Hans-CN', 'de', '')
    """
    match = _LOCALE.match(sent.strip())
    if match is None or sent.strip()[match.end() : match.end() + 1].isspace():
        return ""
    language, script, region = match.groups(default="")
    return "-".join(part for part in (language.lower(), script.title(), region.upper()) if part)


class Enricher:
    """Turns the sent circumstances into a `Context` and flags. Everything parsed is cached within bounds.

    Building one loads the lists (about a tenth of a second); `countries` is there when a geo database is configured.
    """

    def __init__(
        self, agents: Agents | None = None, referrers: Referrers | None = None, countries: Countries | None = None
    ) -> None:
        self._agents = agents or Agents()
        self._referrers = referrers or Referrers()
        self._countries = countries
        self._known: dict[_Key, tuple[Context, int]] = {}
        self._taken_ns = 0

    @classmethod
    def with_countries(cls, file: Path) -> Enricher:
        """One that knows countries from `file`; `ConfigRejected` when that cannot be read."""
        return cls(countries=Countries(file))

    def enrich(self, sent: Circumstances) -> tuple[Context, int]:
        """The circumstances of one event and its `Flag` bits. About 0.4 us when all of it was seen before."""
        country = self._countries.country(truncated(sent.ip)) if self._countries and sent.ip else ""
        page = sent.page or _NO_PAGE
        if not (page.url or page.referrer or sent.referrer is not None or sent.campaign is not None):
            known = self._known.get((sent.user_agent, sent.locale, sent.timezone, country, _NO_ORIGIN))
            if known is not None:
                return known
        started_ns = elapsed_ns()
        origin = self._origin(sent, page)
        key = (sent.user_agent, sent.locale, sent.timezone, country, origin)
        enriched = self._known.get(key) or self._judge(*key)
        self._taken_ns += elapsed_ns() - started_ns
        return enriched

    def ns_taken(self) -> int:
        """What this took since it was asked last, but for circumstances of which it takes less than measuring it."""
        taken_ns, self._taken_ns = self._taken_ns, 0
        return taken_ns

    def forget(self) -> None:
        """Empty the caches."""
        self._known.clear()
        self._agents.forget()
        self._referrers.forget()
        if self._countries is not None:
            self._countries.forget()

    def _judge(
        self, user_agent: str | None, locale: str | None, timezone: str | None, country: str, origin: Origin
    ) -> tuple[Context, int]:
        """What these come to; kept unless they are so long that keeping them is not bounded."""
        agent = self._agents.agent(user_agent) if user_agent else NO_AGENT
        context = Context(
            agent.browser,
            agent.system,
            agent.device,
            *origin,
            locale_code(locale[:_CODE_CHARS_MAX]) if locale else "",
            country,
            _timezone_name(timezone) if timezone else "",
        )
        enriched = (context, _BOT if agent.bot else _PERSON)
        if sum(map(len, (user_agent or "", locale or "", timezone or "", *origin))) <= _KEY_CHARS_MAX:
            if len(self._known) >= CONTEXTS_MAX:
                self._known.clear()
            self._known[user_agent, locale, timezone, country, origin] = enriched
        return enriched

    def _origin(self, sent: Circumstances, page: Page) -> Origin:
        source, medium, name = _campaign(sent, page.url)
        referrer = page.referrer or _referrer_text(sent)
        referral = self._referrers.refer(referrer, page_url=page.url or "", source=source, medium=medium)
        return referral.medium, referral.source, source, medium, name


def _timezone_name(sent: str) -> str:
    name = sent.strip()
    return name if _TIMEZONE.fullmatch(name) else ""


def _referrer_text(sent: Circumstances) -> str:
    referrer = sent.referrer
    if isinstance(referrer, ReferrerLink):
        return referrer.url or referrer.link or ""
    return referrer or ""


def _campaign(sent: Circumstances, url: str | None) -> tuple[str, str, str]:
    """Source, medium and name: as sent, else from the page address."""
    campaign = sent.campaign
    if campaign is not None:
        return _text(campaign.source), _text(campaign.medium), _text(campaign.name)
    if url and "utm_" in url:
        found = campaign_of(url)
        return found.get("source", ""), found.get("medium", ""), found.get("campaign", "")
    return "", "", ""


def _text(value: str | int | float | None) -> str:
    return "" if value is None else str(value)[:NAME_CHARS_MAX]
