"""The methods of both clients, once: what a call answers is returned by one of them, and awaited of the other."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from .calls import Call, Calls

if TYPE_CHECKING:
    from .asynchronous import AsyncClient
    from .sync import Client

P = ParamSpec("P")
T = TypeVar("T")


class Method(Generic[P, T]):
    """A method by the function that makes its call."""

    def __init__(self, make: Callable[Concatenate[Calls, P], Call[T]]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, client: Client, owner: Any) -> Callable[P, T]: ...

    @overload
    def __get__(self, client: AsyncClient, owner: Any) -> Callable[P, Awaitable[T]]: ...

    @overload
    def __get__(self, client: None, owner: Any) -> Method[P, T]: ...

    def __get__(
        self, client: Client | AsyncClient | None, owner: Any
    ) -> Method[P, T] | Callable[P, T] | Callable[P, Awaitable[T]]:
        if client is None:
            return self
        run: Callable[[Call[T]], Any] = client.run
        calls, make = client.calls, self._make

        @functools.wraps(make)
        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return run(make(calls, *args, **kwargs))

        return method


class Methods:
    """What both clients can do."""

    alias = Method(Calls.alias)
    batch = Method(Calls.batch)
    complete = Method(Calls.complete)
    decide = Method(Calls.decide)
    delete_items = Method(Calls.delete_items)
    erase_profile = Method(Calls.erase_profile)
    get_decision = Method(Calls.get_decision)
    get_item = Method(Calls.get_item)
    get_job = Method(Calls.get_job)
    get_profile = Method(Calls.get_profile)
    group = Method(Calls.group)
    health = Method(Calls.health)
    identify = Method(Calls.identify)
    list_items = Method(Calls.list_items)
    page = Method(Calls.page)
    patch_item = Method(Calls.patch_item)
    rank = Method(Calls.rank)
    ready = Method(Calls.ready)
    replay_decision = Method(Calls.replay_decision)
    screen = Method(Calls.screen)
    send = Method(Calls.send)
    set_consent = Method(Calls.set_consent)
    track = Method(Calls.track)
    upsert_items = Method(Calls.upsert_items)
