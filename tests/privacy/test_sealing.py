"""What many events are sealed by at once comes to what one cipher for each does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.subjects import Sealed
from instanter.foundation.errors import Broken
from instanter.privacy import sealing
from instanter.privacy.sealing import KEY_BYTES, NONCE_BYTES, BatchCipher, batch_cipher
from instanter.privacy.subjects import DAY_MS, SEALED_TOGETHER_MIN, KeyStore
from instanter.sim.disk import SimulatedDisk

AT_MS = 20_000 * DAY_MS + 5
PLAIN = """
from instanter.privacy.sealing import BatchCipher
print(BatchCipher().seal([bytes(range(32))] * 2, [bytes(12), bytes(range(12))], [b"", b"an event"]))
"""


@pytest.fixture(scope="module")
def cipher() -> BatchCipher:
    return BatchCipher()


def store() -> KeyStore:
    return KeyStore(SimulatedDisk(), Path("keys"), secret=bytes(32), master=bytes(range(32)))


def one_by_one(keys: list[bytes], nonces: list[bytes], plains: list[bytes]) -> list[bytes]:
    return [
        nonce + AESGCM(key).encrypt(nonce, plain, None) for key, nonce, plain in zip(keys, nonces, plains, strict=True)
    ]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES),
                          st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES), st.binary(max_size=1_100)),
                max_size=12))  # fmt: skip
def test_each_is_sealed_under_its_own_key_as_if_it_were_alone(
    cipher: BatchCipher, events: list[tuple[bytes, bytes, bytes]]
) -> None:
    keys, nonces, plains = ([event[part] for event in events] for part in range(3))
    assert cipher.seal(keys, nonces, plains) == one_by_one(keys, nonces, plains)


def test_an_event_of_the_largest_size_is_sealed_whole(cipher: BatchCipher) -> None:
    keys, nonces, plains = [bytes(KEY_BYTES)] * 2, [bytes(NONCE_BYTES)] * 2, [b"x" * 1_000_000, b"y"]
    assert cipher.seal(keys, nonces, plains) == one_by_one(keys, nonces, plains)


def test_without_the_compiler_it_comes_to_the_same() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PLAIN], env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    keys, nonces = [bytes(range(32))] * 2, [bytes(12), bytes(range(12))]
    assert run.stdout.strip() == str(one_by_one(keys, nonces, [b"", b"an event"]))


def test_what_was_not_sealed_is_not_given_out(cipher: BatchCipher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "_seal", lambda *_: False)
    with pytest.raises(Broken, match="did not seal"):
        cipher.seal([bytes(KEY_BYTES)], [bytes(NONCE_BYTES)], [b"x"])


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("count", [0, 1, SEALED_TOGETHER_MIN, 3 * SEALED_TOGETHER_MIN])
def test_a_store_seals_many_events_each_for_its_person_and_day(
    there: bool, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not there:
        monkeypatch.setattr(sealing, "_openssl", sealing._Functions(None, None, None, None, None))
        assert batch_cipher() is None
    keys = store()
    people = [keys.subject("shop", f"u{number % 5}") for number in range(count)]
    times_ms = [AT_MS + number % 3 * DAY_MS for number in range(count)]
    sealed = keys.seal_events([(*one, b"event %d" % n) for n, one in enumerate(zip(people, times_ms, strict=True))])
    assert len({body[:NONCE_BYTES] for body in sealed}) == count
    for number, (one, at_ms, body) in enumerate(zip(people, times_ms, sealed, strict=True)):
        assert keys.unseal(one.cell, Sealed.EVENT, at_ms, body) == b"event %d" % number


def test_nothing_is_sealed_for_somebody_who_was_erased() -> None:
    keys = store()
    people = [keys.subject("shop", f"u{number}") for number in range(SEALED_TOGETHER_MIN)]
    keys.take_out([people[3].cell])
    with pytest.raises(AssertionError, match="was erased"):
        keys.seal_events([(one, AT_MS, b"") for one in people])
