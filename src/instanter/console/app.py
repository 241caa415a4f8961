"""The console: which pages there are, and what stands before each of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp

from ..api.auth import Access
from ..api.tenancy import Caller
from ..foundation.clock import Clock
from ..foundation.errors import InstanterError, Rejected, RequestRejected, Unavailable
from ..foundation.ids import Ids
from .asking import Asking, Refused
from .pages import PAGES
from .security import COOKIE, CSRF_FIELD, CSRF_HEADER, HEADERS, Form, check_csrf, check_origin, is_own_path, read_form
from .sessions import Session, Sessions
from .views import ROOT, Page, Views, Visit, Way

_LOGIN: Final = f"{ROOT}/login"
_LOGOUT: Final = f"{ROOT}/logout"
_GONE: Final = RequestRejected("not_found", "there is no such page", status=404)
_NOTHING_FOR_IT: Final = "this access key is good for none of the pages here: they ask for a role, such as viewer"
_PUBLIC: Final = "that is a public key, which stands in pages for everybody: the console takes a private one"


class Console:
    """Answers everything at `/console`. One for an application, used on the loop's thread."""

    def __init__(
        self, app: ASGIApp, access: Access, clock: Clock, ids: Ids, *, pages: Sequence[Page] = PAGES
    ) -> None:
        """`app` is the application whose API the pages speak to; the clock is the machine's."""
        self._app = app
        self._access = access
        self._sessions = Sessions(clock, ids)
        self._views = Views(pages, dev=access.dev)
        self._ways = [
            (_pattern(page.path + way.path), page, way)
            for page in pages for way in (Way("GET", "", page.show), *page.ways)
        ]  # fmt: skip

    async def __call__(self, request: Request) -> Response:
        """The answer to a request, whatever it is; with the headers that every page needs."""
        response = await self._answered(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    async def _answered(self, request: Request) -> Response:
        path = request.scope["path"]
        if path.startswith(f"{ROOT}/static/"):
            return self._views.static(path) or self._bare_error(_GONE)
        try:
            if request.method not in ("GET", "HEAD", "POST"):
                raise RequestRejected("method_not_allowed", "pages are read by GET, and acts are a POST", status=405)
            if request.method == "POST":
                check_origin(request)
            if path == _LOGIN:
                return await self._login(request)
            return await self._for_somebody(request)
        except InstanterError as error:
            return self._bare_error(error)

    async def _for_somebody(self, request: Request) -> Response:
        """What is answered to whoever is logged in; the login to everybody else."""
        session = self._session_of(request)
        caller = self._caller_of(session)
        if session is None or caller is None:
            self._sessions.end(request.cookies.get(COOKIE, ""))
            return self._to_login(request)
        form = Form([])
        if request.method == "POST":
            form = await read_form(request)
            check_csrf(session.knows(request.headers.get(CSRF_HEADER) or form.text(CSRF_FIELD)))
            if request.scope["path"] == _LOGOUT:
                return self._logout(request)
        elif request.scope["path"] == ROOT:
            first = self._views.first_for(caller)
            if first is not None:
                return RedirectResponse(first.path, status_code=303)
        return await self._page(request, session, caller, form)

    async def _page(self, request: Request, session: Session, caller: Caller, form: Form) -> Response:
        found = self._found(request)
        page = found[0] if found else _NO_PAGE
        ask = Asking(self._app, request, session.key, over=session.over, left_s=self._sessions.left_s(session))
        visit = Visit(request, ask, session, caller, self._views, page, form)
        try:
            if found is None and request.scope["path"] == ROOT:
                return visit.render("error.html", code="forbidden", message=_NOTHING_FOR_IT)
            if found is None:
                raise _GONE
            return await found[1].answer(visit)
        except InstanterError as error:
            if isinstance(error, Refused) and error.status == 401:
                return self._to_login(request)
            if request.method == "POST" and found is not None:
                return visit.refused(_message(error))
            return visit.render("error.html", status=_status(error), code=_code(error), message=_message(error))

    def _found(self, request: Request) -> tuple[Page, Way] | None:
        """The page and the way of a request, whose parameters are noted for `path_id`."""
        method = "GET" if request.method == "HEAD" else request.method
        for pattern, page, way in self._ways:
            match = pattern.fullmatch(request.scope["path"]) if way.method == method else None
            if match:
                request.scope["path_params"] = match.groupdict()
                return page, way
        return None

    def _session_of(self, request: Request) -> Session | None:
        return self._sessions.developer if self._access.dev else self._sessions.find(request.cookies.get(COOKIE, ""))

    def _caller_of(self, session: Session | None) -> Caller | None:
        """Whose session that is, as their key stands now; None where it does not count any more."""
        if session is None:
            return None
        try:
            return self._access.caller(session.key)
        except Rejected:
            return None

    async def _login(self, request: Request) -> Response:
        onward = request.query_params.get("next", "")
        onward = onward if is_own_path(onward) else ROOT
        if self._access.dev:
            return RedirectResponse(onward, status_code=303)
        if request.method != "POST":
            return self._views.html("login.html", onward=onward, fault="")
        form = await read_form(request)
        onward = form.text("next") if is_own_path(form.text("next")) else ROOT
        key = form.text("key")
        try:
            caller = self._access.caller(key)
        except Rejected:
            fault = "no such key counts here: it was mistyped, or revoked, or is of another server"
            return self._views.html("login.html", status=401, onward=onward, fault=fault)
        if caller.public:
            return self._views.html("login.html", status=403, onward=onward, fault=_PUBLIC)
        self._sessions.end(request.cookies.get(COOKIE, ""))
        cookie, _ = self._sessions.begin(key, caller.actor)
        response = RedirectResponse(onward, status_code=303)
        # Over HTTPS the cookie never goes in the clear; a page says by its origin how it came.
        is_secure = request.headers.get("origin", "").startswith("https://")
        response.set_cookie(COOKIE, cookie, path=ROOT, httponly=True, samesite="strict", secure=is_secure)
        return response

    def _logout(self, request: Request) -> Response:
        self._sessions.end(request.cookies.get(COOKIE, ""))
        response = RedirectResponse(_LOGIN, status_code=303)
        response.delete_cookie(COOKIE, path=ROOT, httponly=True, samesite="strict")
        return response

    def _to_login(self, request: Request) -> Response:
        """To the login, and from there on to where somebody wanted to be."""
        path, query = request.scope["path"], request.scope["query_string"].decode("latin-1")
        onward = f"{path}?{query}" if query else path
        onward = onward if request.method != "POST" and is_own_path(onward) else ROOT
        where = _LOGIN if onward == ROOT else f"{_LOGIN}?{urlencode({'next': onward})}"
        if request.headers.get("hx-request"):
            return Response(status_code=401, headers={"HX-Redirect": where})
        if request.headers.get("sec-fetch-site") == "cross-site" and request.method != "POST":
            # The cookie does not come with a link from another site. It does when this page loads itself anew.
            return self._views.html("again.html", onward=onward)
        return RedirectResponse(where, status_code=303)

    def _bare_error(self, error: InstanterError) -> Response:
        """An error for somebody of whom nothing is known yet."""
        return self._views.html("bare_error.html", status=_status(error), code=_code(error), message=_message(error))


async def _nothing(visit: Visit) -> Response:
    raise _GONE


_NO_PAGE: Final = Page(title="Not found", path=ROOT, group="", scope="admin", show=_nothing)


def _pattern(path: str) -> re.Pattern[str]:
    """What matches a path, as it was sent: whatever stands in an identifier is escaped there.

    >>> _pattern("/console/jobs/{id}").fullmatch("/console/jobs/a%2Fb")["id"]
    'a%2Fb'
    """
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path)))


def _status(error: InstanterError) -> int:
    return error.status if isinstance(error, Rejected | Unavailable) else 503


def _code(error: InstanterError) -> str:
    return error.code if isinstance(error, Rejected | Unavailable) else "broken"


def _message(error: InstanterError) -> str:
    if isinstance(error, Rejected | Unavailable):
        return error.message
    return "the engine has stopped to keep its data whole; see its log"
