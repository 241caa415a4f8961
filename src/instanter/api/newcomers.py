"""How many people a public key may make known, and how many of them from one network.

A public key stands in every page: with it anybody can make up people, and each takes a key, a cell and a place on disk.
Who is known already is not counted, however often they come.
"""

from __future__ import annotations

from collections.abc import Callable

from ..foundation.clock import Clock
from ..foundation.errors import RateLimited, TooManyNewPeople
from ..foundation.limits import NETWORKS_REMEMBERED_MAX, NEW_PEOPLE_NETWORK_DIVISOR
from .limiting import TokenBucket, take_all

_OF = "new people"
_LOOK_MS = 1_000
"""So long at least from one look for networks that can be forgotten to the next."""


class Networks:
    """What is counted of the networks that new people come from, by rate and network. Bounded, whoever comes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[tuple[int, str], TokenBucket] = {}
        self._others: dict[int, TokenBucket] = {}
        self._looked_ms = -_LOOK_MS

    def __len__(self) -> int:
        return len(self._buckets)

    def bucket(self, network: str, per_s: int) -> TokenBucket:
        """The bucket of a network; where there are too many, one that further ones share."""
        known = self._buckets.get((per_s, network))
        if known is not None:
            return known
        if len(self._buckets) >= NETWORKS_REMEMBERED_MAX:
            self._forget_idle()
        if len(self._buckets) >= NETWORKS_REMEMBERED_MAX:
            if len(self._others) >= NETWORKS_REMEMBERED_MAX:
                self._others.clear()
            return self._others.setdefault(per_s, TokenBucket(self._clock, per_s=per_s, of=_OF))
        made = self._buckets[per_s, network] = TokenBucket(self._clock, per_s=per_s, of=_OF)
        return made

    def _forget_idle(self) -> None:
        """A bucket that is full again says no more than a new one."""
        now_ms = self._clock.now_ms()
        if now_ms - self._looked_ms >= _LOOK_MS:
            self._looked_ms = now_ms
            self._buckets = {key: one for key, one in self._buckets.items() if one.wait_ms(key[0])}


class Newcomers:
    """What one public key may make known."""

    def __init__(self, clock: Clock, networks: Networks, per_s: int) -> None:
        self._networks = networks
        self._network_per_s = max(per_s // NEW_PEOPLE_NETWORK_DIVISOR, 1)
        self._own = TokenBucket(clock, per_s=per_s, of=_OF)

    def meet(self, network: str) -> Callable[[], None]:
        """What is asked before a person who comes from a network is made known; "" where it is nobody's."""
        def ask() -> None:
            buckets = [(self._own, 1)]
            if network:
                buckets.append((self._networks.bucket(network, self._network_per_s), 1))
            try:
                take_all(buckets)
            except RateLimited as error:
                raise TooManyNewPeople(error.message, retry_after_s=error.retry_after_s) from None

        return ask
