"""User agents: browser, system, class of device, and whether it is a crawler.

Browser, system and spider patterns are uap-core's, through `ua-parser`; crawler patterns are those of
`lists/crawlers.json`. Both run in the library's compiled matcher, which finds one of 1,500 patterns in about the
time Python needs for ten.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from operator import attrgetter

import msgspec
from ua_parser.loaders import load_lazy_builtins
from ua_parser_rs import DeviceExtractor, OSExtractor, UserAgentExtractor

from ..foundation.limits import AGENT_CHARS_MAX, PARSED_AGENTS_MAX


class Agent(msgspec.Struct, frozen=True):
    """What a user agent says."""

    browser: str = ""
    system: str = ""
    device: str = "other"
    """desktop, mobile, tablet, tv, bot or other."""
    bot: bool = False


NO_AGENT = Agent(device="")
"""Nothing was sent, so nothing is known."""

_SPIDER = "Spider"

_FAMILIES = {
    "iPad": "tablet",
    "Generic Tablet": "tablet",
    "Kindle": "tablet",
    "Kindle Fire": "tablet",
    "Kindle Fire HD": "tablet",
    "iPhone": "mobile",
    "iPod": "mobile",
    "Generic Smartphone": "mobile",
    "Generic Feature Phone": "mobile",
}
"""Families of uap-core that are a class by themselves."""

# The patterns below are searched in lower case: a regex that ignores case is several times slower.
_TV = re.compile(
    r"smart-?tv|hbbtv|netcast|web0s|google ?tv|android tv|apple ?tv|tvos|bravia|\broku|\baft[a-z]{1,4}\b|crkey"
    r"|inettv|\bdtv|opera tv|viera|philips.?tv|\bmitv|mibox|webtv|\btv\b|chromecast|espial|\bvidaa|nettv|sonydtv"
    r"|\bstb\b"
)
_TV_SYSTEMS = frozenset(
    {"tvOS", "ATV OS X", "GoogleTV", "Roku", "WebTV", "FireHbbTV", "Web0S", "Chromecast Linux", "Chromecast Android",
     "Chromecast Fuchsia", "Chromecast"}
)  # fmt: skip
_TABLET = re.compile(
    r"ipad|tablet(?! pc)|playbook|touchpad|kindle|nexus (?:7|9|10)\b|nexus_(?:7|10)|xoom|mediapad|transformer pad"
    r"|transformer_pad|\bsm-[tx]\d|\bgt-[pn](?:1|3|5|6|7|8)\d{3}|\bgalaxy tab|\bmi pad|(?:^|[ _/])pad\b"
)
_PHONE = re.compile(
    r"mobile|iphone|ipod|windows phone|windows ce|wp[78]/|blackberry|\bbb10|symbian|symbos|series ?[36]0|series ?40"
    r"|midp|cldc|j2me|opera mini|opera mobi|kaios|\bbada|brew|nokia|maemo|meego|fennec|htc|sonyericsson|\blg-|\bsec-"
    r"|samsung-|up\.browser|phone|polaris|obigo|netfront|blazer|docomo|palm"
)
_DESKTOP_SYSTEMS = frozenset(
    {"Windows", "Mac OS X", "Mac OS", "Linux", "Ubuntu", "Debian", "Fedora", "Chrome OS", "FreeBSD", "OpenBSD",
     "NetBSD", "Solaris", "SUSE", "Red Hat", "CentOS", "Linux Mint", "Mandriva", "Gentoo", "Arch Linux", "Slackware",
     "Kubuntu", "Mageia", "PCLinuxOS", "Puppy"}
)  # fmt: skip


def device_class(agent: str, system: str, family: str = "") -> str:
    """desktop, mobile, tablet, tv or other: by what vendors agree on (an Android without "Mobile" is a tablet).

    >>> device_class("Mozilla/5.0 (iPad; CPU OS 16_5 like Mac OS X) ... Mobile/15E148 Safari/604.1", "iOS")
    'tablet'
    """
    lower = agent.lower()
    if system in _TV_SYSTEMS or _TV.search(lower):
        return "tv"
    if family in _FAMILIES:
        return _FAMILIES[family]
    if _TABLET.search(lower):
        return "tablet"
    if system in ("WatchOS", "Wear OS"):
        return "other"
    if _PHONE.search(lower) or system == "iOS":
        return "mobile"
    if system == "Android":
        return "tablet" if agent.startswith("Mozilla/") else "mobile"
    return "desktop" if system in _DESKTOP_SYSTEMS else "other"


class Agents:
    """User agents by their text. Loading the patterns takes a tenth of a second and 40 MiB, once."""

    def __init__(self, crawlers: Sequence[str] | None = None) -> None:
        browsers, systems, devices = load_lazy_builtins()
        parts = attrgetter("regex", "family", "major", "minor", "patch", "patch_minor")
        self._browsers = UserAgentExtractor(map(parts, browsers))
        self._systems = OSExtractor(map(parts, systems))
        device_parts = attrgetter("regex", "regex_flag", "family", "brand", "model")
        self._devices = DeviceExtractor(map(device_parts, devices))
        patterns = load_crawlers() if crawlers is None else crawlers
        self._crawlers = UserAgentExtractor((pattern, None, None, None, None, None) for pattern in patterns)
        self._known: dict[str, Agent] = {}

    def forget(self) -> None:
        """Empty the cache."""
        self._known.clear()

    def agent(self, text: str) -> Agent:
        """What `text` says; its first `AGENT_CHARS_MAX` characters count. Cached."""
        text = text[:AGENT_CHARS_MAX]
        known = self._known.get(text)
        if known is not None:
            return known
        if len(self._known) >= PARSED_AGENTS_MAX:
            self._known.clear()
        agent = self._known[text] = self._parse(text)
        return agent

    def _parse(self, text: str) -> Agent:
        if not text.strip():
            return NO_AGENT
        browser = self._browsers.extract(text)
        system = self._systems.extract(text)
        device = self._devices.extract(text)
        family = device.family if device is not None else ""
        system_name = system.family if system is not None else ""
        bot = family == _SPIDER or self._crawlers.extract(text) is not None
        return Agent(
            browser=browser.family if browser is not None else "",
            system=system_name,
            device="bot" if bot else device_class(text, system_name, family),
            bot=bot,
        )


def load_crawlers() -> list[str]:
    """The vendored crawler patterns."""
    return msgspec.json.decode(files(__package__).joinpath("lists/crawlers.json").read_bytes(), type=list[str])
