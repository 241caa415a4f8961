"""How often a call is sent, and how long is waited in between. No network is known here."""

from __future__ import annotations

from typing import Final

from .errors import ClientError, Unavailable
from .limits import ATTEMPTS_MAX

_FIRST_WAIT_S: Final = 0.1
_WAIT_S_MAX: Final = 5.0


class Attempts:
    """The attempts of one call, within the time there is."""

    def __init__(self, *, again: bool, attempt_s: float, within_s: float, now_s: float) -> None:
        """`attempt_s` bounds one attempt, `within_s` all of them together."""
        self._again = again
        self._attempt_s = attempt_s
        self._ends_s = now_s + within_s
        self._made = 0

    def timeout_s(self, now_s: float) -> float:
        """How long the next attempt may take; not more than is left."""
        self._made += 1
        return max(min(self._attempt_s, self._ends_s - now_s), 0.0)

    def wait_s(self, error: ClientError, now_s: float, spread: float) -> float | None:
        """How long to wait before the next attempt, with a part of it by `spread` in [0, 1); None: there is none."""
        if not (self._again and error.may_pass) or self._made >= ATTEMPTS_MAX:
            return None
        longest_s = min(_FIRST_WAIT_S * 2 ** (self._made - 1), _WAIT_S_MAX)
        wait_s = longest_s * (0.5 + spread / 2)
        if isinstance(error, Unavailable) and error.retry_after_s is not None:
            wait_s += error.retry_after_s
        return wait_s if now_s + wait_s < self._ends_s else None
