"""What a page is given, and how it becomes HTML: every name that comes from data is escaped by the template engine."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ..api.tenancy import Caller
from ..privacy.access import DEFAULT_TENANT
from ..privacy.roles import Scope
from . import words
from .asking import Asking
from .security import Form, is_own_path
from .sessions import Notice, Session
from .tables import QueryOf, Shown, Table, csv_of, shown

ROOT: Final = "/console"
_KINDS: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_KEPT: Final = {"Cache-Control": "public, max-age=31536000, immutable"}


class Visit(msgspec.Struct, frozen=True):
    """One request of somebody who is let in."""

    request: Request
    ask: Asking
    session: Session
    caller: Caller
    views: Views
    page: Page
    form: Form = Form([])
    """Of an act."""

    @property
    def query(self) -> Mapping[str, str]:
        """The query string; of a name that stands there twice, the last."""
        return self.request.query_params

    def may(self, scope: Scope) -> bool:
        """Whether the key is good for what asks for a scope: what it may not do is not offered."""
        return scope in self.caller.scopes

    def render(self, template: str, *, status: int = 200, **what: Any) -> Response:
        """The page."""
        return self.views.page(self, template, status=status, **what)

    def tables(self, template: str, *tables: Table, **what: Any) -> Response:
        """The page with tables, sorted and filtered as its query string says; or one of them as CSV. Raises
        `RequestRejected` for a query string that cannot be."""
        query = QueryOf(self.request, tables, self.page.parameters)
        if query.csv:
            return csv_of(query.csv, query)
        views: dict[str, Shown] = {table.name or "main": shown(table, query) for table in tables}
        return self.views.page(self, template, tables=views, **what)

    def go(self, to: str) -> Response:
        """To another page."""
        return RedirectResponse(to, status_code=303)

    def done(self, message: str, to: str = "") -> Response:
        """After an act: back to where it was asked for, or on to another page, which tells what came of it."""
        self.session.notice = Notice(message)
        return RedirectResponse(to or self._came_from(), status_code=303)

    def refused(self, message: str, to: str = "") -> Response:
        """Likewise after an act that was refused."""
        self.session.notice = Notice(message, is_fault=True)
        return RedirectResponse(to or self._came_from(), status_code=303)

    def _came_from(self) -> str:
        """The page whose form was sent; browsers say it of pages of one site."""
        sent = urlsplit(self.request.headers.get("referer", ""))
        path = f"{sent.path}?{sent.query}" if sent.query else sent.path
        return path if is_own_path(path) else self.page.path


Answering = Callable[[Visit], Awaitable[Response]]


class Way(msgspec.Struct, frozen=True):
    """Something below a page's path: a part of it, or an act, which is a POST with a form."""

    method: str
    path: str
    """Behind the page's; an identifier in it is `{id}` and read by `api.routing.path_id`."""
    answer: Answering


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page, with all its ways. Adding one is adding it to `pages.PAGES`."""

    title: str
    path: str
    group: str
    """Under which heading it stands."""
    scope: Scope
    """What a key needs to see anything there; the API itself asks for it."""
    show: Answering
    ways: Sequence[Way] = ()
    parameters: Sequence[str] = ()
    """Of its query string, beside those of its tables."""
    of_operator: bool = False
    """It is about all tenants at once: for keys of the tenant `default`."""

    def is_for(self, caller: Caller) -> bool:
        """Whether it is offered to somebody."""
        return self.scope in caller.scopes and (caller.tenant == DEFAULT_TENANT or not self.of_operator)


class Views:
    """The templates, and the files that pages need. One for an application."""

    def __init__(self, pages: Sequence[Page], *, dev: bool) -> None:
        self._pages = pages
        self._dev = dev
        self._files = _static_files()
        self._base = f"{ROOT}/static/{_digest(self._files)}"
        self._environment = Environment(
            loader=PackageLoader("instanter.console"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True,
        )  # fmt: skip
        self._environment.filters.update(words.FILTERS)
        self._environment.globals.update(file=self.file, dev=dev, root=ROOT)

    def file(self, name: str) -> str:
        """The address of a file, which changes with its content."""
        assert name in self._files, name
        return f"{self._base}/{name}"

    def static(self, path: str) -> Response | None:
        """A file by its address; None where there is none."""
        name = path.removeprefix(f"{self._base}/")
        body = self._files.get(name)
        if body is None or not path.startswith(self._base):
            return None
        kind = _KINDS.get(name[name.rfind(".") :], "text/plain; charset=utf-8")
        return Response(body, headers=_KEPT, media_type=kind)

    def page(self, visit: Visit, template: str, *, status: int = 200, **what: Any) -> Response:
        """A page for somebody who is let in."""
        offered = [page for page in self._pages if page.is_for(visit.caller)]
        groups = {group: [page for page in offered if page.group == group] for group in words.GROUPS}
        return self.html(
            template, status=status, visit=visit, page=visit.page, groups=groups, csrf=visit.session.csrf,
            notice=visit.session.take_notice(), **what,
        )  # fmt: skip

    def html(self, template: str, *, status: int = 200, **what: Any) -> Response:
        """A template with what it names."""
        return HTMLResponse(self._environment.get_template(template).render(**what), status_code=status)

    def first_for(self, caller: Caller) -> Page | None:
        """Where somebody begins; None where a key is good for no page."""
        return next((page for page in self._pages if page.is_for(caller)), None)


def _static_files() -> dict[str, bytes]:
    """Files of pages, by their paths."""
    root = files("instanter.console").joinpath("static")
    found = {one.name: one.read_bytes() for one in root.iterdir() if one.is_file()}
    vendor = {f"vendor/{one.name}": one.read_bytes() for one in root.joinpath("vendor").iterdir() if one.is_file()}
    return {**found, **vendor}


def _digest(held: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(held):
        digest.update(name.encode() + b"\0" + held[name])
    return digest.hexdigest()[:16]
