"""What keeps a page what it is: no foreign script or frame, and no act that its own form did not send."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from ..api.bodies import read_body
from ..foundation.errors import RequestRejected
from ..foundation.limits import CONSOLE_FORM_BYTES_MAX, CONSOLE_FORM_FIELDS_MAX

COOKIE: Final = "instanter_console"
CSRF_FIELD: Final = "csrf"
CSRF_HEADER: Final = "x-csrf-token"
_KIND: Final = "application/x-www-form-urlencoded"

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
"""Of every answer; files that never change say themselves how long they may be kept."""

_FOREIGN: Final = RequestRejected("origin", "only a page of this console may send that", status=403)
_STALE: Final = RequestRejected(
    "csrf", "this form is not of your session: go back, load the page again and send it once more", status=403
)


def check_origin(request: Request) -> None:
    """Refuse (403) an act that a page of another origin sent, or nobody knows which.

    Browsers say with each POST where it comes from, and pages cannot change that.
    """
    site = request.headers.get("sec-fetch-site")
    if site is None:
        # Browsers do not say it over plain HTTP, where the server is no loopback address.
        is_own = request.headers.get("origin", "").partition("://")[2] == request.headers.get("host")
    else:
        is_own = site == "same-origin"
    if not is_own:
        raise _FOREIGN


class Form:
    """The fields of a form."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._fields = fields

    def text(self, name: str) -> str:
        """A field, without the blanks around it; "" where it is not there."""
        return next((value.strip() for field, value in self._fields if field == name), "")

    def texts(self, name: str) -> list[str]:
        """All fields of a name, as of boxes that are ticked."""
        return [value for field, value in self._fields if field == name]

    def ticked(self, name: str) -> bool:
        """Whether a box is ticked."""
        return self.text(name) not in ("", "false", "0")


async def read_form(request: Request) -> Form:
    """The fields of a form that was sent. Raises `RequestRejected` for what is none, or too large."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _KIND:
        raise RequestRejected("content_type", f"a page sends its forms as {_KIND}", status=415)
    body = await read_body(request, bytes_max=CONSOLE_FORM_BYTES_MAX, any_text=True)
    try:
        fields = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body), errors="strict",
            max_num_fields=CONSOLE_FORM_FIELDS_MAX,
        )  # fmt: skip
    except ValueError:
        raise RequestRejected("malformed", f"that is no form of at most {CONSOLE_FORM_FIELDS_MAX} fields") from None
    return Form(fields)


def check_csrf(known: bool) -> None:
    """Refuse (403) a form that does not know the session's token."""
    if not known:
        raise _STALE


def is_own_path(path: str) -> bool:
    """Whether a browser may be sent there after the login: a page of the console, never another site.

    >>> is_own_path("/console/models?sort=since"), is_own_path("//evil.example"), is_own_path("/console\\\\@evil")
    (True, False, False)
    """
    plain = path.isascii() and path.isprintable() and "\\" not in path and "//" not in path.partition("?")[0]
    return plain and (path == "/console" or path.startswith(("/console/", "/console?")))
