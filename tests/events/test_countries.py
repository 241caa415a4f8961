"""The country of a network, from a file in MaxMind's format that the test writes itself."""

from __future__ import annotations

import ipaddress
import tracemalloc
from pathlib import Path

import pytest

from instanter.events.addresses import Countries
from instanter.events.enrich import Enricher
from instanter.events.schema import SentContext
from instanter.foundation.errors import ConfigRejected
from instanter.foundation.limits import PARSED_ADDRESSES_MAX

Value = str | int | dict[str, "Value"] | list["Value"]


def encoded(value: Value) -> bytes:
    """One value of the format's data section, short ones only."""
    if isinstance(value, str):
        text = value.encode()
        return (bytes([2 << 5 | len(text)]) if len(text) < 29 else bytes([2 << 5 | 29, len(text) - 29])) + text
    if isinstance(value, int):
        return bytes([6 << 5 | 4]) + value.to_bytes(4, "big")
    if isinstance(value, list):
        return bytes([len(value), 11 - 7]) + b"".join(map(encoded, value))
    return bytes([7 << 5 | len(value)]) + b"".join(encoded(key) + encoded(item) for key, item in value.items())


def database(network: str, record: dict[str, Value]) -> bytes:
    """A file that knows one IPv4 network: a chain of nodes, one per bit."""
    net = ipaddress.IPv4Network(network)
    bits = [int(net.network_address) >> (31 - at) & 1 for at in range(net.prefixlen)]
    nothing, data = len(bits), len(bits) + 16
    tree = b""
    for at, bit in enumerate(bits):
        pair = [nothing, nothing]
        pair[bit] = at + 1 if at + 1 < len(bits) else data
        tree += pair[0].to_bytes(3, "big") + pair[1].to_bytes(3, "big")
    about: dict[str, Value] = {
        "binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1, "database_type": "Test",
        "description": {"en": "test"}, "ip_version": 4, "languages": ["en"], "node_count": len(bits), "record_size": 24,
    }  # fmt: skip
    return tree + bytes(16) + encoded(record) + b"\xab\xcd\xefMaxMind.com" + encoded(about)


@pytest.mark.parametrize("record", [{"country": {"iso_code": "AT"}}, {"country": "AT"}, {"country_code": "AT"}])
def test_a_network_in_the_file_has_its_country(tmp_path: Path, record: dict[str, Value]):
    file = tmp_path / "geo.mmdb"
    file.write_bytes(database("203.0.113.0/24", record))
    countries = Countries(file)
    for _ in range(2):
        assert countries.country("203.0.113.0") == "AT"
        assert countries.country("198.51.100.0") == ""
        assert countries.country("2001:db8::") == ""
        assert countries.country("") == ""
    countries.close()


@pytest.mark.slow
def test_so_many_networks_are_remembered_and_memory_does_not_grow_with_more(tmp_path: Path):
    file = tmp_path / "geo.mmdb"
    file.write_bytes(database("203.0.113.0/24", {"country": "AT"}))
    countries = Countries(file)
    tracemalloc.start()
    try:
        taken_bytes = []
        for first in range(3):
            for number in range(PARSED_ADDRESSES_MAX):
                countries.country(str(ipaddress.IPv4Address((number + first * PARSED_ADDRESSES_MAX) << 8)))
            taken_bytes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert max(taken_bytes[1:]) < 1.2 * taken_bytes[0]
    assert countries.country("203.0.113.0") == "AT"
    countries.close()


def test_a_record_without_a_country_gives_none(tmp_path: Path):
    file = tmp_path / "geo.mmdb"
    file.write_bytes(database("203.0.113.0/24", {"city": "Graz"}))
    countries = Countries(file)
    assert countries.country("203.0.113.0") == ""
    countries.close()


def test_the_context_names_the_country_of_the_address(tmp_path: Path, enricher: Enricher):
    file = tmp_path / "geo.mmdb"
    file.write_bytes(database("203.0.113.0/24", {"country": {"iso_code": "AT"}}))
    assert Enricher.with_countries(file).enrich(SentContext(ip="203.0.113.77"))[0].country == "AT"
    assert enricher.enrich(SentContext(ip="203.0.113.77"))[0].country == ""


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ConfigRejected, match="no such country database") as caught:
        Countries(tmp_path / "none.mmdb")
    assert caught.value.file.endswith("none.mmdb")


@pytest.mark.parametrize(
    "content", [b"", b"not a database", b"\xab\xcd\xefMaxMind.com", b"\xab\xcd\xefMaxMind.com\xe1"]
)
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes):
    file = tmp_path / "geo.mmdb"
    file.write_bytes(content)
    with pytest.raises(ConfigRejected):
        Countries(file)


def test_a_folder_is_no_database(tmp_path: Path):
    with pytest.raises(ConfigRejected):
        Countries(tmp_path)
