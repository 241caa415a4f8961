"""Network addresses: cut short before anything is stored, and where they are."""

from __future__ import annotations

from pathlib import Path
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import TYPE_CHECKING

from ..foundation.errors import ConfigRejected
from ..foundation.limits import PARSED_ADDRESSES_MAX

if TYPE_CHECKING:
    import maxminddb

_ADDRESS_CHARS_MAX = 128
_IPV4_MAPPED = bytes(10) + b"\xff\xff"


def truncated(address: str) -> str:
    """The network of an address: the last 8 bits of IPv4 and all but 48 of IPv6 are zero. No address, no text.

    Of a list, as proxies send it, the first counts.

    >>> truncated("203.0.113.77"), truncated("2001:db8:1:2::3"), truncated("::ffff:203.0.113.77"), truncated("home")
    ('203.0.113.0', '2001:db8:1::', '203.0.113.0', '')
    """
    try:
        return _network(address)
    except (OSError, ValueError):
        pass
    try:
        return _network(address[:_ADDRESS_CHARS_MAX].partition(",")[0].partition("%")[0].strip(" []"))
    except (OSError, ValueError):
        return ""


def _network(address: str) -> str:
    if ":" not in address:
        inet_pton(AF_INET, address)
        return address.rpartition(".")[0] + ".0"
    packed = inet_pton(AF_INET6, address)
    if packed.startswith(_IPV4_MAPPED):
        return f"{packed[12]}.{packed[13]}.{packed[14]}.0"
    return inet_ntop(AF_INET6, packed[:6] + bytes(10))


class Countries:
    """Country by network, from a file in MaxMind's format (GeoLite2-Country, DB-IP, IPinfo ...); extra `[geo]`."""

    def __init__(self, file: Path) -> None:
        self._reader = _open(file)
        self._known: dict[str, str] = {}

    def forget(self) -> None:
        """Empty the cache."""
        self._known.clear()

    def country(self, network: str) -> str:
        """ISO 3166 alpha-2 of a network as `truncated` gives it, or ""."""
        known = self._known.get(network)
        if known is not None:
            return known
        if len(self._known) >= PARSED_ADDRESSES_MAX:
            self._known.clear()
        code = self._known[network] = self._look_up(network)
        return code

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()

    def _look_up(self, network: str) -> str:
        try:
            record = self._reader.get(network)
        except ValueError:
            return ""  # No address, or IPv6 in a file of IPv4 alone.
        if not isinstance(record, dict):
            return ""
        country = record.get("country", record.get("country_code"))
        code = country.get("iso_code") if isinstance(country, dict) else country
        return code if isinstance(code, str) and len(code) == 2 else ""


def _open(file: Path) -> maxminddb.Reader:
    try:
        import maxminddb
    except ImportError:
        raise ConfigRejected(
            "the country of visitors needs the package maxminddb",
            file=str(file),
            suggestion="pip install 'instanter[geo]'",
        ) from None
    try:
        return maxminddb.open_database(file, maxminddb.MODE_MMAP)
    except FileNotFoundError:
        raise ConfigRejected("there is no such country database", file=str(file)) from None
    except (maxminddb.InvalidDatabaseError, OSError, ValueError) as error:
        raise ConfigRejected(
            f"not a readable country database: {error}",
            file=str(file),
            suggestion="a file in MaxMind's format, .mmdb",
        ) from None
