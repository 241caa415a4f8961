"""A server whose records are not sealed, to measure what sealing costs: `python -m instanter.ops.bench.unsealed`.

Everything else is `instanter serve`. What it writes cannot be erased, and no other program opens it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ...events.subjects import HashedSubjects, Sealed, Sealing
from ...foundation.disk import Disk
from ...privacy.subjects import KeyStore, KeySubject
from ..cli import serve
from ..cli.arguments import add_json
from ..cli.main import run_verb


class UnsealedSubject(KeySubject):
    """A subject whose bytes stay as they are."""

    def seal(self, kind: Sealed, at_ms: int, plain: bytes) -> bytes:
        return plain

    def seal_event(self, at_ms: int, plain: bytes) -> bytes:
        return plain


class UnsealedStore(KeyStore):
    """A key store that has no key of anybody: pseudonyms are keyed hashes."""

    def __init__(self, disk: Disk, directory: Path, *, secret: bytes, master: bytes) -> None:
        super().__init__(disk, directory, secret=secret, master=master)
        self._hashed = HashedSubjects(secret)

    def find(self, tenant: str, identifier: str) -> int:
        return self._hashed.find(tenant, identifier)

    def subject(self, tenant: str, identifier: str) -> KeySubject:
        return UnsealedSubject(self, identifier, self.find(tenant, identifier), b"")

    def subjects(self, tenant: str, identifiers: Sequence[str]) -> list[KeySubject]:
        return [self.subject(tenant, identifier) for identifier in identifiers]

    def seal(self, cell: int, kind: Sealed, at_ms: int, plain: bytes) -> bytes:
        return plain

    def seal_events(self, sealings: Sequence[Sealing]) -> list[bytes]:
        return [plain for _, _, plain in sealings]

    def unseal(self, cell: int, kind: Sealed, at_ms: int, sealed: bytes) -> bytes | None:
        return sealed


class UnsealedServe:
    """The verb `serve` over such a store."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_json(parser)
        serve.add_arguments(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        return serve.run(arguments, open_subjects=UnsealedStore)


def main() -> int:
    """Serve as the command line says."""
    verb, parser = UnsealedServe(), argparse.ArgumentParser()
    parser.add_argument("verb", choices=("serve",))
    verb.add_arguments(parser)
    return run_verb(verb, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
