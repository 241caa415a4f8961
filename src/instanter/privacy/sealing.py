"""Sealing many events in one go: AES-256-GCM by OpenSSL, each under a key of its own.

`cryptography`, which seals one, makes a cipher for each key, and half of its time goes into that; here one cipher is
given key after key. The library is the one that the interpreter has for its hashes. Where it cannot be reached from
outside, as in an interpreter that is all of one piece, there is no `BatchCipher` and events are sealed one by one: what
comes out is the same (`test_sealing.py`).
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from importlib import import_module
from itertools import accumulate, pairwise
from typing import Any, Final, NamedTuple

import numpy as np

from ..foundation.errors import Broken
from ..state.compiled import Bytes, Ints, Shorts, kernel
from ..state.foreign import ADDRESS, INTEGER, Foreign

NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
KEY_BYTES: Final = 32
_NO_KEY: Final = bytes(KEY_BYTES)
_GET_TAG: Final = 0x10
"""EVP_CTRL_AEAD_GET_TAG."""
_TAKEN: Final = 1
"""What a function of OpenSSL gives that did what it was asked to."""


class _Functions(NamedTuple):
    """Those of OpenSSL, see https://docs.openssl.org/3.0/man3/EVP_EncryptInit/."""

    library: Any
    begin: Any
    update: Any
    end: Any
    control: Any


def _found() -> _Functions:
    """None of them where the interpreter's own OpenSSL cannot be reached."""
    try:
        library = ctypes.CDLL(str(import_module("_hashlib").__file__))
        library.EVP_CIPHER_CTX_new.restype = library.EVP_CIPHER_fetch.restype = ctypes.c_void_p
        library.EVP_CIPHER_fetch.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
        library.EVP_CIPHER_CTX_free.argtypes = [ctypes.c_void_p]
        return _Functions(
            library,
            Foreign(library, "EVP_EncryptInit_ex", ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS),
            Foreign(library, "EVP_EncryptUpdate", ADDRESS, ADDRESS, ADDRESS, ADDRESS, INTEGER),
            Foreign(library, "EVP_EncryptFinal_ex", ADDRESS, ADDRESS, ADDRESS),
            Foreign(library, "EVP_CIPHER_CTX_ctrl", ADDRESS, INTEGER, INTEGER, ADDRESS),
        )
    except (AttributeError, ImportError, OSError):
        return _Functions(None, None, None, None, None)


_openssl = _found()
_begin, _update, _end, _control = _openssl.begin, _openssl.update, _openssl.end, _openssl.control


class BatchCipher:
    """AES-256-GCM for many keys. Not for threads."""

    def __init__(self) -> None:
        """Raises `Unsupported` where OpenSSL cannot be reached, or lacks the cipher."""
        library = _openssl.library
        context = cipher = 0
        if library is not None:
            cipher = library.EVP_CIPHER_fetch(None, b"AES-256-GCM", None) or 0
            context = library.EVP_CIPHER_CTX_new() or 0
        if not (cipher and context) or _begin(context, cipher, 0, 0, 0) != _TAKEN:
            raise Unsupported
        self._context = context
        weakref.finalize(self, library.EVP_CIPHER_CTX_free, context)

    def seal(self, keys: Sequence[bytes], nonces: Sequence[bytes], plains: Sequence[bytes]) -> list[bytes]:
        """Each of `plains` under its own key: nonce, what it became, tag.

        Raises `Broken` if OpenSSL does not seal; it has no reason not to.
        """
        if not plains:
            return []
        ends = list(accumulate(map(len, plains)))
        around = NONCE_BYTES + TAG_BYTES
        sealed: Bytes = np.empty(ends[-1] + around * len(plains), np.uint8)
        taken = _seal(
            self._context, _bytes([*keys, _NO_KEY]), _bytes(nonces), _bytes(plains), np.array(ends, np.int64), sealed,
            np.zeros(1, np.int32),
        )  # fmt: skip
        if not taken:
            raise Broken("OpenSSL did not seal")
        whole = sealed.tobytes()
        firsts = [0, *(end + around * place for place, end in enumerate(ends, 1))]
        return [whole[first:end] for first, end in pairwise(firsts)]


class Unsupported(Exception):
    """There is no OpenSSL here that many events can be sealed with at once."""


def batch_cipher() -> BatchCipher | None:
    """One, or None where there is none."""
    try:
        return BatchCipher()
    except Unsupported:
        return None


def warm_up() -> None:
    """Load or compile what many events are sealed by, where there is any."""
    cipher = batch_cipher()
    if cipher is not None:
        cipher.seal([_NO_KEY], [bytes(NONCE_BYTES)], [b"plain"])


def _bytes(pieces: Sequence[bytes]) -> Bytes:
    return np.frombuffer(b"".join(pieces), np.uint8)


@kernel
def _seal(
    context: int, keys: Bytes, nonces: Bytes, plains: Bytes, ends: Ints, sealed: Bytes, size: Shorts
) -> bool:
    """Seal the piece of `plains` that ends at each of `ends`; whether all were. The last key seals nothing: it takes
    the place in the context of the one before."""
    key_at, nonce_at, plain_at = keys.ctypes.data, nonces.ctypes.data, plains.ctypes.data
    sealed_at, size_at = sealed.ctypes.data, size.ctypes.data
    begin = at = 0
    taken = True
    for place in range(len(ends)):
        for byte in range(NONCE_BYTES):
            sealed[at + byte] = nonces[place * NONCE_BYTES + byte]
        at += NONCE_BYTES
        length = ends[place] - begin
        taken &= _begin(context, 0, 0, key_at + place * KEY_BYTES, nonce_at + place * NONCE_BYTES) == _TAKEN
        taken &= _update(context, sealed_at + at, size_at, plain_at + begin, length) == _TAKEN
        at += length
        taken &= _end(context, sealed_at + at, size_at) == _TAKEN
        taken &= _control(context, _GET_TAG, TAG_BYTES, sealed_at + at) == _TAKEN
        at += TAG_BYTES
        begin = ends[place]
    taken &= _begin(context, 0, 0, key_at + len(ends) * KEY_BYTES, nonce_at) == _TAKEN
    return bool(taken)
