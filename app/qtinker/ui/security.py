"""The gate before the page: who may ask, for which routes, from which pages.

Gradio serves more routes than this page needs (a proxy, a fetcher of web addresses, editors). Only those in
`ROUTES` pass. Names and paths that a request may carry are checked in guard.py.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_GRADIO = (
    r"app_id|info|openapi\.json|startup-events|upload|upload_progress|queue/(join|data|status)|"
    r"(call|run|api)/[\w-]+(/[\w-]+)?|call/v2/[\w-]+|cancel|reset|heartbeat/[\w-]+|theme\.css|login_check|user|token|"
    r"mcp(/.*)?|component_server"
)
ROUTES = re.compile(
    r"^(/zh)?(/|/config|/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json|/login_check|"
    r"/(assets|static|svelte)/[\w./@ -]+|/gradio_api/(" + _GRADIO + r")|/gradio_api/file=.+)/?$"
    r"|^/download/[\w./-]+$|^/zh$"
)
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "media-src 'self' blob:; object-src 'none'; form-action 'self'; base-uri 'self'"
)
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "content-security-policy": POLICY,
    "cross-origin-resource-policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Does the name or address mean this computer only?"""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _host(value: str) -> str:
    return (urlsplit(f"//{value}").hostname or "").lower()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class Gate:
    """ASGI middleware: routes, Host and Origin headers, the optional login, and the headers of each answer.

    `login` is (user, password) or None. Without a login only addresses and localhost are accepted as Host, so that a
    foreign domain that points here (DNS rebinding) reaches nothing.
    """

    def __init__(self, app: ASGIApp, *, uploads: Path, login: tuple[str, str] | None = None) -> None:
        self.app, self.uploads, self.login = app, uploads.resolve(), login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        refused = self.refusal(scope)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message["headers"]}
                extra = [(key.encode(), value.encode()) for key, value in _HEADERS.items() if key.encode() not in names]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        if refused is not None:
            await refused(scope, receive, answer)
        else:
            await self.app(scope, receive, answer)

    def refusal(self, scope: Scope) -> PlainTextResponse | None:
        """The answer to a request that is not let through, or None."""
        headers, path = Headers(scope=scope), scope["path"]
        host = _host(headers.get("host", ""))
        if self.login is None and not (is_loopback(host) or _is_address(host)):
            return PlainTextResponse("This address is not served.", 421)
        origin = headers.get("origin")
        if origin is not None and scope["method"] not in ("GET", "HEAD"):
            asked = (urlsplit(origin).hostname or "").lower()
            if not asked or (asked != host and not is_loopback(asked)):
                return PlainTextResponse("Requests from other pages are refused.", 403)
        if self.login is not None and not self._logged_in(headers.get("authorization", "")):
            return PlainTextResponse(
                "User and password, please.", 401, {"www-authenticate": 'Basic realm="QTinker", charset="UTF-8"'}
            )
        if not ROUTES.match(path) or ".." in path.split("/"):
            return PlainTextResponse("Not found.", 404)
        if scope["method"] in ("GET", "HEAD") and re.search(rb"(^|&)(page|deep_link|view)=", scope["query_string"]):
            return PlainTextResponse("Not found.", 404)  # Gradio's own parameters; an unknown page would be a 500
        if "/file=" in path and not self.is_upload(path.split("/file=", 1)[1]):
            return PlainTextResponse("Not allowed.", 403)
        return None

    def _logged_in(self, header: str) -> bool:
        assert self.login is not None
        scheme, _, value = header.partition(" ")
        try:
            given = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return False
        return scheme.lower() == "basic" and hmac.compare_digest(given, ":".join(self.login).encode())

    def is_upload(self, path: str) -> bool:
        """Is this a file in the upload folder, links resolved?"""
        try:
            real = Path(unquote(path)).resolve()
            return real.is_relative_to(self.uploads) and real.is_file()
        except (OSError, ValueError):
            return False
