"""A trained model as a file: what it learned, from what, and how to tell that it is whole.

    magic 8 bytes, format u32, BLAKE2b-256 of magic, format and what follows, then MessagePack of an `Artefact`

The checksum is compared before anything is decoded, and the decoder makes numbers, texts and the structs named here;
nothing in a file can be called. The name of a model is the hash of its bytes.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final, Literal

import msgspec
import numpy as np

from ..features.assemble import Matrix
from ..foundation.errors import Broken, Corrupt
from ..foundation.limits import CALIBRATION_KNOTS_MAX, MODEL_BYTES_MAX, MODEL_INPUTS_MAX
from ..state.compiled import Reals
from .bodies import AttentionBody, Body, Learned, LinearBody, LogisticBody, TreesBody, unpacked
from .head import Head

MAGIC: Final = b"INSTMODL"
FORMAT: Final = 3
"""The newest: a program from before refuses what it cannot read, and says so."""
_HEADER: Final = struct.Struct("<8sI32s")
_ID_CHARS: Final = 32

SHOWN_POSITION: Final = "shown.position"
"""The input of a model that was told where each row was shown; at serving it is 1 for all."""

Position = Literal["input", "fixed", "debiased"]
Kind = Literal["lambdamart", "logistic", "conditional_logit", "attention"]
_FORMATS: Final[dict[Kind, int]] = {"lambdamart": 1, "logistic": 1, "conditional_logit": 2, "attention": 3}
"""That a model of the kind is written in: the first that has it."""
_BODIES: Final[dict[Kind, type[Body]]] = {
    "lambdamart": TreesBody, "logistic": LogisticBody, "conditional_logit": LinearBody, "attention": AttentionBody
}  # fmt: skip


class Input(msgspec.Struct, frozen=True, array_like=True):
    """A column that the model reads."""

    name: str
    version: str = ""
    """Of the feature that it comes from, where known."""


class Calibration(msgspec.Struct, frozen=True, array_like=True):
    """A rising function from raw scores to the log-odds of a reward: straight lines between knots.

    Beyond the first and the last knot it goes on with `slope`, so that it never takes two different scores for one.
    """

    kind: Literal["isotonic", "platt"]
    scores: tuple[float, ...]
    log_odds: tuple[float, ...]
    slope: float


class Window(msgspec.Struct, frozen=True, array_like=True):
    """What part of the log a model was made of; `to` is the first moment that was not seen."""

    from_position: int = 0
    to_position: int = 0
    """Only in models from before these were left out: another log of the same events has other positions."""
    from_ms: int = 0
    to_ms: int = 0


class ScoreCheck(msgspec.Struct, frozen=True, array_like=True):
    """Rows of inputs with the raw scores that they must get, bit for bit."""

    rows: int
    matrix: bytes
    """float32, [rows, inputs]"""
    scores: bytes
    """float64, [rows]"""

    def unpacked(self, inputs: int) -> tuple[Matrix, Reals]:
        """The rows and their scores; `ValueError` if they have other sizes."""
        matrix = np.frombuffer(self.matrix, "<f4").astype(np.float32).reshape(self.rows, inputs)
        return matrix, np.frombuffer(self.scores, "<f8").astype(np.float64).reshape(self.rows)


class Artefact(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A trained model and its origin. Further fields come at the end, with defaults."""

    kind: Kind
    inputs: tuple[Input, ...]
    """In the model's own order."""
    body: Body
    check: ScoreCheck
    tenant: str = ""
    placement: str = ""
    made_ms: int = 0
    """The first moment that it knows nothing of: made again of the same examples, it is the same file."""
    configuration: str = ""
    """Hash of the configuration in force."""
    dataset: str = ""
    """Hash of the examples."""
    window: Window = Window()
    lists: int = 0
    rows: int = 0
    metrics: dict[str, float] = {}
    libraries: dict[str, str] = {}
    parent: str = ""
    """The model that stood there before, or ""."""
    options: dict[str, str | int | float | bool] = {}
    position: Position = "input"
    calibration: Calibration | None = None
    head: Head | None = None
    """Which rows of a list it orders; None for all."""

    def model(self) -> Learned:
        """What it learned, as arrays; `ValueError` if no model can have them."""
        return unpacked(self.body, len(self.inputs))


_encoder = msgspec.msgpack.Encoder(order="deterministic")
_decoder = msgspec.msgpack.Decoder(Artefact)


def make_check(matrix: Matrix, scores: Reals) -> ScoreCheck:
    """Known rows with known scores, as they are kept."""
    return ScoreCheck(len(matrix), matrix.astype("<f4").tobytes(), scores.astype("<f8").tobytes())


def encode(artefact: Artefact) -> bytes:
    """The bytes of a model; equal for equal models."""
    payload = _encoder.encode(artefact)
    version = _FORMATS[artefact.kind]
    return _HEADER.pack(MAGIC, version, _checksum(version, payload)) + payload


def identify(raw: bytes) -> str:
    """The name of a model with these bytes.

    >>> identify(b"")
    '786a02f742015903c6c6fd852552d272'
    """
    return hashlib.blake2b(raw).hexdigest()[:_ID_CHARS]


def decode(raw: bytes, *, file: str = "model") -> Artefact:
    """A model from its bytes. `Corrupt` for bytes that are not whole or that no model has, `Broken` for a format that
    is newer than this program; never anything else."""
    payload = _payload(raw, file)
    try:
        artefact = _decoder.decode(payload)
        _check(artefact)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, OverflowError) as error:
        raise Corrupt(file=file, offset=_HEADER.size, reason=f"the model does not fit: {error}") from None
    return artefact


def _payload(raw: bytes, file: str) -> bytes:
    """What the checksum is of."""
    if len(raw) < _HEADER.size:
        raise Corrupt(file=file, offset=len(raw), reason="the header is cut off")
    if len(raw) > MODEL_BYTES_MAX:
        raise Corrupt(file=file, offset=MODEL_BYTES_MAX, reason=f"a model has at most {MODEL_BYTES_MAX} bytes")
    magic, version, checksum = _HEADER.unpack_from(raw)
    if magic != MAGIC:
        raise Corrupt(file=file, offset=0, reason="not a model")
    payload = raw[_HEADER.size :]
    if _checksum(version, payload) != checksum:
        raise Corrupt(file=file, offset=_HEADER.size, reason="checksum does not match")
    if version > FORMAT:
        raise Broken(f"{file} has format {version}; this program reads up to {FORMAT}")
    return payload


def _checksum(version: int, payload: bytes) -> bytes:
    digest = hashlib.blake2b(MAGIC + version.to_bytes(4, "little"), digest_size=32)
    digest.update(payload)
    return digest.digest()


def _check(artefact: Artefact) -> None:
    """`ValueError` for what has the right types and is still no model."""
    inputs = [one.name for one in artefact.inputs]
    if not 1 <= len(set(inputs)) == len(inputs) <= MODEL_INPUTS_MAX:
        raise ValueError(f"a model has 1 to {MODEL_INPUTS_MAX} inputs, each once")
    if not isinstance(artefact.body, _BODIES[artefact.kind]):
        raise ValueError(f"a {artefact.kind} model has another body")
    artefact.model()
    if artefact.check.rows < 1 or not np.isfinite(artefact.check.unpacked(len(inputs))[1]).all():
        raise ValueError("there is nothing to check it by")
    if artefact.calibration is not None:
        _check_calibration(artefact.calibration)


def _check_calibration(calibration: Calibration) -> None:
    scores, log_odds = np.array(calibration.scores), np.array(calibration.log_odds)
    if not 1 <= len(scores) == len(log_odds) <= CALIBRATION_KNOTS_MAX:
        raise ValueError(f"a calibration has 1 to {CALIBRATION_KNOTS_MAX} knots")
    finite = np.isfinite([*scores, *log_odds, calibration.slope]).all()
    if not finite or (np.diff(scores) <= 0.0).any() or (np.diff(log_odds) <= 0.0).any() or calibration.slope <= 0.0:
        raise ValueError("a calibration rises")


__all__ = [
    "FORMAT", "MAGIC", "SHOWN_POSITION", "Artefact", "AttentionBody", "Calibration", "Input", "LinearBody",
    "LogisticBody", "Position", "ScoreCheck", "TreesBody", "Window", "decode", "encode", "identify", "make_check",
]  # fmt: skip
