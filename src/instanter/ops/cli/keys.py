"""`instanter keys create | list | revoke`: access keys, of a running server or of a directory that nobody serves."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import msgspec

from ...api.keys import KeyCreated, KeyListing, KeyRequest, KeyShown, created, decode_key_request, listing, shown
from ...engine.access import KeyRing
from ...engine.holdings import LOG
from ...events.envelope import KeyRevoked
from ...foundation.clock import Clock, SystemClock
from ...foundation.disk import RealDisk
from ...foundation.errors import LogClosed, Lost, Overloaded, RequestRejected
from ...foundation.ids import Ids
from ...log.segment_log import SegmentLog
from ...privacy.access import DEFAULT_TENANT, Grant, check_grant, check_tenant, issued, new_key
from ...privacy.audit import COMMAND_LINE, Act, Plain, hand_in
from ...privacy.roles import ROLES, SCOPES
from ..config import load
from ..datadir import DataDirectory
from ..losses import missing, reaches
from .arguments import KEY_VARIABLE, add_config, add_data, add_key
from .connection import Connection


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter keys`."""
    parser.description = (
        "Make, list and revoke access keys. A key is shown once, when it is made, and kept nowhere. With --url this\n"
        "asks a running server, as the tenant of the admin key given; else it writes to a data directory that nobody\n"
        "serves at the moment, which is how the first key comes about.")
    parser.epilog = (
        "examples:\n"
        "  instanter keys create --data shop/data --name operator --role admin\n"
        "  instanter keys create --data shop/data --tenant shop-two --name owner --role admin\n"
        f"  {KEY_VARIABLE}=ik_... instanter keys create --url https://shop.example --name page --scope write "
        "--scope decide --public\n"
        f"  {KEY_VARIABLE}=ik_... instanter keys list --url https://shop.example\n"
        "  instanter keys revoke 0123456789ab --data shop/data")
    parser.add_argument("action", choices=("create", "list", "revoke"), help="what to do")
    parser.add_argument("id", nargs="?", default="", metavar="ID", help="revoke: which key, as listed")
    parser.add_argument("--name", default="", metavar="N", help="create: what the key is for, for people to read")
    parser.add_argument("--role", metavar="R",
                        help=f"create: what it is good for, by a name: {', '.join(ROLES)}")
    parser.add_argument("--scope", action="append", default=[], metavar="S",
                        help=f"create: the same scope by scope, instead: {', '.join(SCOPES)}; may be given several "
                             "times; docs/access.md says what each opens")
    parser.add_argument("--public", action="store_true",
                        help="create: it stands in a page, and may not say who somebody is or that they bought")
    parser.add_argument("--requests-per-s", type=int, default=0, metavar="N",
                        help="create: its own rate; without it limits.requests_per_s holds")
    parser.add_argument("--tenant", default="", metavar="T",
                        help=f"whose keys, in a data directory (default: {DEFAULT_TENANT})")
    parser.add_argument("--url", default="", metavar="U", help="ask the server there")
    add_key(parser)
    add_config(parser)
    add_data(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it and print what came of it."""
    _check_usage(arguments)
    with _opened(arguments) as keys:
        if arguments.action == "create":
            _print_created(keys.create(_grant(arguments)), as_json=arguments.json)
        elif arguments.action == "list":
            _print_listing(keys.list(), as_json=arguments.json)
        else:
            _print_revoked(keys.revoke(arguments.id), as_json=arguments.json)
    return 0


def _check_usage(arguments: argparse.Namespace) -> None:
    if (arguments.action == "revoke") != bool(arguments.id):
        raise RequestRejected("usage", "revoke takes the id of a key, and only revoke does")
    if arguments.action == "create" and not (arguments.name and (arguments.role or arguments.scope)):
        raise RequestRejected("usage", "create needs a --name, and a --role or one or more --scope")
    if arguments.url and arguments.tenant:
        raise RequestRejected("usage", "a server's keys are those of the tenant whose --key is given")


def _grant(arguments: argparse.Namespace) -> Grant:
    """What is asked for, within the bounds of the API."""
    asked = {
        "name": arguments.name, "scopes": arguments.scope, "role": arguments.role, "public": arguments.public,
        "requestsPerS": arguments.requests_per_s,
    }  # fmt: skip
    grant = decode_key_request(msgspec.json.encode(asked)).grant()
    check_grant(grant)
    return grant


@contextmanager
def _opened(arguments: argparse.Namespace) -> Iterator[ServerKeys | DirectoryKeys]:
    if arguments.url:
        connection = Connection(arguments.url, key=arguments.key)
        try:
            yield ServerKeys(connection)
        finally:
            connection.close()
        return
    tenant = arguments.tenant or DEFAULT_TENANT
    check_tenant(tenant)
    config = load(arguments.config)
    directory = DataDirectory(RealDisk(), arguments.data, keys=config.privacy.keys)
    if arguments.action == "create":
        directory.open()
    else:
        directory.check()
    if lost := missing(directory):
        raise Lost(lost)
    log = _open_log(directory, config.log.segment_mb)
    try:
        yield DirectoryKeys(directory, log, tenant, clock=SystemClock(), ids=Ids())
    finally:
        log.close()


def _open_log(directory: DataDirectory, segment_mb: int) -> SegmentLog:
    try:
        return SegmentLog(
            directory.disk, directory.log, segment_bytes=segment_mb * 1024 * 1024,
            reaches=reaches(directory).get(LOG, 0),
        )  # fmt: skip
    except LogClosed as error:
        raise LogClosed(f"{error.message}; ask the server that does, by --url and --key") from None


class ServerKeys:
    """Keys of a running server, of the tenant whose key is used."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, grant: Grant) -> KeyCreated:
        """Make a key. Raises `Rejected`, `Unavailable`."""
        asked = KeyRequest(grant.name, list(grant.scopes), grant.role, grant.public, grant.requests_per_s)
        return self._connection.call("POST", "/v1/keys", asked, reply=KeyCreated)

    def list(self) -> KeyListing:
        """The tenant's keys."""
        return self._connection.call("GET", "/v1/keys", reply=KeyListing)

    def revoke(self, key_id: str) -> KeyShown:
        """Revoke a key of the tenant."""
        return self._connection.call("DELETE", f"/v1/keys/{quote(key_id, safe='')}", reply=KeyShown)


class DirectoryKeys:
    """Keys of one tenant in a directory whose log is open here. Acts are handed in for the next server to note."""

    def __init__(self, directory: DataDirectory, log: SegmentLog, tenant: str, *, clock: Clock, ids: Ids) -> None:
        self._disk = directory.disk
        self._acts: Path = directory.acts
        self._ring = KeyRing(log, disk=directory.disk, checkpoints=directory.checkpoints)
        self._tenant = tenant
        self._clock = clock
        self._ids = ids

    def create(self, grant: Grant) -> KeyCreated:
        """As `ServerKeys.create`."""
        if not self._ring.keys.has_room(self._tenant):
            raise Overloaded("there is no room for another access key: revoke one")
        key_id, text = new_key(self._ids)
        now_ms = self._note("key.issued", key_id, grant.noted())
        self._ring.write(issued(grant, key_id=key_id, text=text, tenant=self._tenant, at_ms=now_ms))
        key = self._ring.keys.get(key_id)
        assert key is not None, "there was room, and the id is new"
        return created(key, text)

    def list(self) -> KeyListing:
        """As `ServerKeys.list`."""
        return listing(self._ring.keys.of_tenant(self._tenant))

    def revoke(self, key_id: str) -> KeyShown:
        """As `ServerKeys.revoke`."""
        key = self._ring.keys.get(key_id)
        if key is None or key.tenant != self._tenant:
            raise RequestRejected("unknown_key", f"the tenant {self._tenant} has no such access key", status=404)
        if key.counts:
            self._ring.write(KeyRevoked(self._note("key.revoked", key_id, {}), key_id))
        return shown(self._ring.keys.get(key_id) or key)

    def _note(self, act: str, key_id: str, details: dict[str, Plain]) -> int:
        now_ms = self._clock.now_ms()
        noted = Act(act, COMMAND_LINE, tenant=self._tenant, subject=key_id, details=details, at_ms=now_ms)
        hand_in(self._disk, self._acts, noted, self._ids)
        return now_ms


def _print_created(key: KeyCreated, *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(key).decode())
    else:
        print(f"{_in_words(key)}\nIts text is shown this once and kept nowhere:\n{key.key}")


def _print_listing(listed: KeyListing, *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(listed).decode())
    else:
        print("\n".join(map(_in_words, listed.keys)) or "there are no access keys")


def _print_revoked(key: KeyShown, *, as_json: bool) -> None:
    print(msgspec.json.encode(key).decode() if as_json else _in_words(key))


def _in_words(key: KeyShown) -> str:
    kind = ("public, " if key.public else "") + ("made under --dev and not accepted, " if key.dev else "")
    rate = f", {key.requests_per_s} requests a second" if key.requests_per_s else ""
    end = f"revoked {key.revoked_at}" if key.revoked_at else f"issued {key.issued_at}"
    name = "".join(character if character.isprintable() else "\ufffd" for character in key.name)
    good_for = f"{key.role} ({' '.join(key.scopes)})" if key.role else " ".join(key.scopes)
    return f"{key.id}  {key.tenant}  {kind}{good_for}{rate}  {end}  {name}"
