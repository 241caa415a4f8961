"""Enrichment at capture: from what a sender tells of the circumstances to classes and codes, nothing personal."""

from __future__ import annotations

import re
from pathlib import Path

from ..foundation.limits import NAME_CHARS_MAX, PARSED_LOCALES_MAX
from .addresses import Countries, truncated
from .agents import NO_AGENT, Agents
from .envelope import Context, Flag
from .referrers import Referrers, campaign_of
from .schema import Page, ReferrerLink, SentContext

_PERSON = int(Flag.NONE)
_BOT = int(Flag.BOT)

_LOCALE = re.compile(r"([A-Za-z]{2,3})(?:[-_]([A-Za-z]{4}))?(?:[-_]([A-Za-z]{2}|[0-9]{3}))?(?![A-Za-z0-9])")
_TIMEZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,30}(?:/[A-Za-z0-9_+-]{1,30}){0,2}")
_NO_PAGE = Page()
_NO_ORIGIN = ("", "", "", "", "")
_CODE_CHARS_MAX = 64


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
        self._locales: dict[str, str] = {}
        self._timezones: dict[str, str] = {}

    @classmethod
    def with_countries(cls, file: Path) -> Enricher:
        """One that knows countries from `file`; `ConfigRejected` when that cannot be read."""
        return cls(countries=Countries(file))

    def enrich(self, sent: SentContext) -> tuple[Context, int]:
        """The circumstances of one event and its `Flag` bits. About 1 us when all of it was seen before."""
        agent = self._agents.agent(sent.user_agent) if sent.user_agent else NO_AGENT
        page = sent.page or _NO_PAGE
        if page.url is None and page.referrer is None and sent.referrer is None and sent.campaign is None:
            origin = _NO_ORIGIN
        else:
            origin = self._origin(sent, page)
        context = Context(
            agent.browser,
            agent.system,
            agent.device,
            *origin,
            self._locale(sent.locale) if sent.locale else "",
            self._countries.country(truncated(sent.ip)) if self._countries and sent.ip else "",
            self._timezone(sent.timezone) if sent.timezone else "",
        )
        return context, _BOT if agent.bot else _PERSON

    def _origin(self, sent: SentContext, page: Page) -> tuple[str, str, str, str, str]:
        """Class and source of the referrer; source, medium and name of the campaign."""
        source, medium, name = _campaign(sent, page.url)
        referrer = page.referrer or _referrer_text(sent)
        referral = self._referrers.refer(referrer, page_url=page.url or "", source=source, medium=medium)
        return referral.medium, referral.source, source, medium, name

    def _locale(self, sent: str) -> str:
        known = self._locales.get(sent)
        if known is not None:
            return known
        return _remember(self._locales, sent, locale_code(sent[:_CODE_CHARS_MAX]))

    def _timezone(self, sent: str) -> str:
        known = self._timezones.get(sent)
        if known is not None:
            return known
        name = sent.strip()
        return _remember(self._timezones, sent, name if _TIMEZONE.fullmatch(name) else "")


def _remember(cache: dict[str, str], sent: str, code: str) -> str:
    """Keep what a short text came to; a long one is worked out each time."""
    if len(sent) <= _CODE_CHARS_MAX:
        if len(cache) >= PARSED_LOCALES_MAX:
            cache.clear()
        cache[sent] = code
    return code


def _referrer_text(sent: SentContext) -> str:
    referrer = sent.referrer
    if isinstance(referrer, ReferrerLink):
        return referrer.url or referrer.link or ""
    return referrer or ""


def _campaign(sent: SentContext, url: str | None) -> tuple[str, str, str]:
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
