"""Signed user tokens: how a page shows that the shop's own server has signed its visitor in.

A token is a JWT (RFC 7519) that the shop's server makes: HS256 under a signing secret of the tenant, whose id stands
in the header as `kid`; `sub` is the user id, `aud` the tenant, `exp` at most a day ahead. Whoever sees a token can be
that user until then, and nobody can make one without the secret, which is shown once and lies beside the keys of
people, wrapped by the master key.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import jwt
import msgspec
from cryptography.exceptions import InvalidTag
from jwt.types import Options

from ..foundation.disk import Disk, write_whole
from ..foundation.errors import ConfigRejected, Corrupt, Overloaded, RequestRejected
from ..foundation.limits import (
    SIGNING_SECRETS_MAX,
    SIGNING_SECRETS_PER_TENANT_MAX,
    USER_TOKEN_CHARS_MAX,
    USER_TOKENS_KNOWN_MAX,
)
from ..foundation.rng import entropy
from .vault import KEY_BYTES, MasterKey

VERSION: Final = 1
FILE: Final = "signing.secrets"
ALGORITHM: Final = "HS256"
LIFETIME_S_MAX: Final = 24 * 3_600
SKEW_S: Final = 60
"""How far the clocks of the shop's server and ours may be apart."""

_KID_BYTES: Final = 6
_OPTIONS: Final[Options] = {
    "require": ["sub", "aud", "exp"], "strict_aud": True, "verify_exp": False, "verify_nbf": False, "verify_iat": False,
}  # fmt: skip
"""The times are ours to judge, by the clock in force."""


class SigningSecret(msgspec.Struct, frozen=True, array_like=True):
    """A secret as it is kept. New fields go last and have defaults."""

    id: str
    tenant: str
    made_ms: int
    wrapped: bytes
    dev: bool = False
    """Made under `--dev`, where whoever reaches the server can make one: no token signed under it is good."""


class _Kept(msgspec.Struct, array_like=True):
    version: int
    secrets: list[SigningSecret]


class _Verdict(NamedTuple):
    """What a token says, and when it holds."""

    user_id: str
    from_s: float
    until_s: float


_NO_VERDICT: Final = _Verdict("", 0.0, 0.0)


class SigningSecrets:
    """`events.claims.UserTokens`, and the secrets behind it. Used on the loop's thread."""

    def __init__(
        self, disk: Disk, directory: Path, *, master: bytes, source: Callable[[int], bytes] = entropy
    ) -> None:
        """Raises `Corrupt` for a damaged file and `ConfigRejected` for another master key."""
        self._disk = disk
        self._path = directory / FILE
        self._master = MasterKey(master, source)
        self._source = source
        self._secrets = {(one.tenant, one.id): one for one in read_signing_secrets(disk, directory)}
        self._texts = {place: self._opened(one) for place, one in self._secrets.items()}
        self._known: dict[tuple[str, str], _Verdict] = {}

    @property
    def kept(self) -> bool:
        """Whether there is a file of secrets: once there was one it never goes."""
        return self._path.name in self._disk.list(self._path.parent)

    def confirm(self, tenant: str, token: str, user_id: str, now_ms: int) -> bool:
        """Whether a token says `user_id` and holds now. 20 us for a new one, less than one for a known one."""
        return self.user_of(tenant, token, now_ms) == user_id != ""

    def user_of(self, tenant: str, token: str, now_ms: int) -> str:
        """The user that a token names, if it holds now; "" for one that is not good."""
        if not token or not self._texts or len(token) > USER_TOKEN_CHARS_MAX:
            return ""
        verdict = self._known.get((tenant, token))
        if verdict is None:
            verdict = self._verdict(tenant, token)
            if len(self._known) >= USER_TOKENS_KNOWN_MAX:
                self._known.clear()
            self._known[tenant, token] = verdict
        now_s = now_ms / 1_000
        holds = verdict.from_s - SKEW_S <= now_s < verdict.until_s <= now_s + LIFETIME_S_MAX + SKEW_S
        return verdict.user_id if holds else ""

    def of_tenant(self, tenant: str) -> list[SigningSecret]:
        """A tenant's secrets, the oldest first."""
        return [one for one in self._secrets.values() if one.tenant == tenant]

    def make(self, tenant: str, now_ms: int, *, dev: bool = False) -> tuple[SigningSecret, str]:
        """A new secret and its text, which nothing shows again. Durable on return; raises `Overloaded`, `OSError`."""
        if len(self.of_tenant(tenant)) >= SIGNING_SECRETS_PER_TENANT_MAX:
            most = SIGNING_SECRETS_PER_TENANT_MAX
            raise Overloaded(f"a tenant has at most {most} signing secrets: revoke one", retry_after_s=60)
        if len(self._secrets) >= SIGNING_SECRETS_MAX:
            raise Overloaded(f"there are at most {SIGNING_SECRETS_MAX} signing secrets", retry_after_s=60)
        secret_id, key = self._source(_KID_BYTES).hex(), self._source(KEY_BYTES)
        made = SigningSecret(secret_id, tenant, now_ms, self._master.wrap(key, _about(tenant, secret_id)), dev)
        self._write([*self._secrets.values(), made])
        self._secrets[tenant, made.id] = made
        self._texts[tenant, made.id] = key.hex()
        return made, key.hex()

    def revoke(self, tenant: str, secret_id: str) -> SigningSecret:
        """Tokens signed under it are good no more. Durable on return; `RequestRejected` if there is none such."""
        if (tenant, secret_id) not in self._secrets:
            raise RequestRejected("unknown_secret", "there is no such signing secret", status=404)
        self._write([one for place, one in self._secrets.items() if place != (tenant, secret_id)])
        del self._texts[tenant, secret_id]
        self._known.clear()
        return self._secrets.pop((tenant, secret_id))

    def forget(self) -> None:
        """Empty the cache: the tokens in it name people."""
        self._known.clear()

    def _verdict(self, tenant: str, token: str) -> _Verdict:
        """What a token says; one that is no good says nothing, whatever is the matter with it."""
        try:
            header = jwt.get_unverified_header(token)
            place = (tenant, header.get("kid", ""))
            text = self._texts.get(place)
            if text is None or self._secrets[place].dev or "crit" in header or header.get("alg") != ALGORITHM:
                return _NO_VERDICT
            claims = jwt.decode(token, text, algorithms=[ALGORITHM], audience=tenant, options=_OPTIONS)
            from_s = max(_time(claims.get("nbf", 0)), _time(claims.get("iat", 0)))
            return _Verdict(claims["sub"], from_s, _time(claims["exp"]))
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            return _NO_VERDICT

    def _opened(self, one: SigningSecret) -> str:
        try:
            return self._master.unwrap(one.wrapped, _about(one.tenant, one.id)).hex()
        except (InvalidTag, ValueError):
            raise ConfigRejected(f"{self._path} was made with another master key, or is damaged") from None

    def _write(self, all_: list[SigningSecret]) -> None:
        write_whole(self._disk, self._path, msgspec.msgpack.encode(_Kept(VERSION, all_)))


def read_signing_secrets(disk: Disk, directory: Path) -> list[SigningSecret]:
    """What is kept of secrets, still wrapped; raises `Corrupt` for a damaged file."""
    path = directory / FILE
    if path.name not in disk.list(directory):
        return []
    try:
        kept = msgspec.msgpack.decode(disk.read(path, 0, disk.size(path)), type=_Kept)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Corrupt(file=str(path), offset=0, reason=f"not signing secrets: {error}") from None
    if kept.version > VERSION:
        raise Corrupt(file=str(path), offset=0, reason=f"format {kept.version} is newer than this program")
    return kept.secrets


def _about(tenant: str, secret_id: str) -> bytes:
    return f"signing\0{tenant}\0{secret_id}".encode()


def _time(sent: Any) -> float:
    """Seconds since 1970; `ValueError` for what is no number, and for what is none in JSON."""
    if isinstance(sent, bool) or not isinstance(sent, int | float) or sent - sent != 0:
        raise ValueError("not a time")
    return float(sent)
