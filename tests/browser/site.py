"""The site that has the bell on its pages: another origin than the service, with a strict policy."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

from tests.tokens import signed
from workbench.embedded import LOOPBACK

PAGE = """<!doctype html>
<html lang="{lang}" dir="{dir}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>A site with a bell</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/site.css">
<script type="module" src="{service}/element/v1.js"></script>
<body>
<header><h1>A site</h1> {elements}</header>
<main><p><a href="#elsewhere" id="elsewhere">Elsewhere on the page</a></p></main>
</body>
</html>
"""
STYLE = """
:root { color-scheme: light dark; font-family: sans-serif }
body { margin: 0; background: light-dark(#fff, #111); color: light-dark(#111, #eee) }
header { display: flex; align-items: center; justify-content: space-between; padding: 8px 16px }
main { padding-inline: 16px }
a { color: inherit }
bellwire-inbox[view=page] { flex: 1 }
"""


@dataclass
class Site:
    """Pages with elements on them, and the tokens of whoever is logged in."""

    service: str
    """The address of the API."""
    secret: str
    """With which it signs the tokens of its users."""
    port: int
    lasting: dict[str, list[timedelta]] = field(default_factory=dict)
    """For how long the next tokens of a user are valid, if not for an hour."""
    asked: list[str] = field(default_factory=list)
    """The users for whom a token was asked for, in order."""
    written: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Pages by path that tests have written, each with its policy."""
    signed_out: set[str] = field(default_factory=set)
    """Who gets no token."""

    @staticmethod
    def origin_at(port: int) -> str:
        return f"http://{LOOPBACK}:{port}"

    @property
    def origin(self) -> str:
        return self.origin_at(self.port)

    @property
    def policy(self) -> str:
        """Only the service's scripts and answers; no inline style, no string becomes markup or script."""
        socket = self.service.replace("http", "ws", 1)
        return (
            f"default-src 'none'; script-src {self.service}; connect-src 'self' {self.service} {socket};"
            " style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none';"
            " require-trusted-types-for 'script'; trusted-types 'none'"
        )

    def page(self, *elements: str, lang: str = "en", direction: str = "ltr") -> str:
        """The address of a page with these elements."""
        query = json.dumps({"elements": elements, "lang": lang, "dir": direction})
        return f"{self.origin}/page?{query.encode().hex()}"

    def inbox(self, user: str, **attributes: str) -> str:
        """An element of a user, who is logged in at the site."""
        given = {"url": self.service, "user": user, "token-url": f"/token?user={user}", **attributes}
        words = " ".join(f'{name.replace("_", "-")}="{value}"' for name, value in given.items())
        return f"<bellwire-inbox {words}></bellwire-inbox>"

    def answer(self, path: str) -> tuple[int, str, str]:
        """Status, media type and content."""
        address = urlsplit(path)
        if address.path == "/page":
            asked = json.loads(bytes.fromhex(address.query))
            elements = " ".join(asked.pop("elements"))
            return 200, "text/html", PAGE.format(service=self.service, elements=elements, **asked)
        if address.path in self.written:
            return 200, "text/html", self.written[address.path][1]
        if address.path == "/site.css":
            return 200, "text/css", STYLE
        if address.path == "/token":
            return self._token(parse_qs(address.query)["user"][0])
        return 404, "text/plain", "There is no such page."

    def _token(self, user: str) -> tuple[int, str, str]:
        self.asked.append(user)
        if user in self.signed_out:
            return 401, "application/json", json.dumps({"detail": "Log in first."})
        lasting, now = self.lasting.get(user), datetime.now(UTC)
        expires = now + (lasting.pop(0) if lasting else timedelta(hours=1))
        claims = {"sub": user, "aud": "bellwire", "iat": now.timestamp(), "exp": expires.timestamp()}
        return 200, "application/json", json.dumps({"token": signed(claims, key=self.secret)})


@contextmanager
def serving(site: Site) -> Iterator[None]:
    """Serve it from a thread."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, content = site.answer(self.path)
            body = content.encode()
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", site.written.get(self.path, (site.policy,))[0])
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((LOOPBACK, site.port), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
