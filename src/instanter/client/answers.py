"""From the bytes of an answer to a value or an error. No network is known here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from .errors import ClientError, Misunderstood, Refused, Unavailable
from .limits import REFUSAL_CHARS_MAX
from .replies import Erasure, Job, Readiness, Replay

T = TypeVar("T")

TOO_MANY: Final = 429
_ACCEPTED: Final = 202


class Answer(msgspec.Struct, frozen=True):
    """What came back."""

    status: int
    body: bytes
    retry_after: str = ""
    location: str = ""


class _Told(msgspec.Struct):
    code: str
    message: str
    details: list[Any] = []


class _Error(msgspec.Struct):
    error: _Told


class _SentErasure(msgspec.Struct, rename="camel"):
    receipt: msgspec.Raw
    signature: str
    public_key: str


class _Ready(msgspec.Struct):
    status: str
    position: str = ""
    reason: str = ""
    warnings: list[str] = []


def read_as(kind: type[T]) -> Callable[[Answer], T]:
    """Reads answers of one type; raises the error that an answer is."""
    decoder = msgspec.json.Decoder(kind)

    def read(answer: Answer) -> T:
        check(answer)
        return decoded(decoder, answer.body)

    return read


def check(answer: Answer) -> None:
    """Raise what an answer says that is not 2xx."""
    if not 200 <= answer.status < 300:
        raise error_of(answer)


def error_of(answer: Answer) -> ClientError:
    """The error that an answer is."""
    status = answer.status
    if 300 <= status < 400:
        to = f" to {answer.location[:REFUSAL_CHARS_MAX]}" if answer.location else ""
        return Misunderstood(f"that address leads elsewhere ({status}{to}): give the client the server's own")
    told = _told(answer)
    if status == TOO_MANY or status >= 500:
        return Unavailable(status, told.code, told.message, retry_after_s=_seconds(answer.retry_after))
    if 400 <= status < 500:
        return Refused(status, told.code, told.message, told.details)
    return Misunderstood(f"status {status} is not in the contract")


def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """What a body says; raises `Misunderstood`."""
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Misunderstood(f"the answer is not in the contract: {error}: {_shown(body)}") from None


def read_replay(answer: Answer) -> Replay | Job:
    """What a replay found, or the job that is still at it."""
    return _job(answer) if answer.status == _ACCEPTED else _replay(answer)


def read_erasure(answer: Answer) -> Erasure:
    """A signed receipt with the bytes that are signed."""
    sent = _sent_erasure(answer)
    return Erasure(
        receipt=decoded(_object, bytes(sent.receipt)), receipt_text=bytes(sent.receipt).decode(),
        signature=sent.signature, public_key=sent.public_key,
    )  # fmt: skip


def read_readiness(answer: Answer) -> Readiness:
    """Whether the server is ready; that it is not is an answer, too."""
    if answer.status == 503:
        try:
            told = _ready.decode(answer.body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise error_of(answer) from None
        return Readiness(ready=False, reason=told.reason)
    check(answer)
    told = decoded(_ready, answer.body)
    return Readiness(ready=True, position=told.position, warnings=told.warnings)


def read_health(answer: Answer) -> bool:
    """Whether the process answers as ours does."""
    check(answer)
    return decoded(_ready, answer.body).status == "ok"


def _told(answer: Answer) -> _Told:
    """Code and message of an error; where it is not one of ours, by its status, with the beginning of its text."""
    try:
        return _error.decode(answer.body).error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _Told(f"http_{answer.status}", f"status {answer.status}: {_shown(answer.body)}")


def _shown(body: bytes) -> str:
    text = " ".join(body[: 4 * REFUSAL_CHARS_MAX].decode("utf-8", "replace").split())
    return text[:REFUSAL_CHARS_MAX] or "nothing"


def _seconds(text: str) -> float | None:
    """What Retry-After says; None for a date, which our server does not send."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


_error = msgspec.json.Decoder(_Error)
_object = msgspec.json.Decoder(dict[str, Any])
_ready = msgspec.json.Decoder(_Ready)
_job, _replay, _sent_erasure = read_as(Job), read_as(Replay), read_as(_SentErasure)
