"""Serves the page of one of these folders, and the token of the user on it: what your application does.

    python examples/element/serve.py examples/element/vue --user demo --port 8001

Bellwire has to allow the page's origin: BELLWIRE_ALLOWED_ORIGINS=http://127.0.0.1:8001.
"""

import argparse
import os
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt


class Handler(SimpleHTTPRequestHandler):
    """The files of a folder; whatever else is asked for is the page, for its router."""

    def __init__(self, *arguments: Any, user: str, **options: Any) -> None:
        self._user = user
        super().__init__(*arguments, **options)

    def do_GET(self) -> None:
        if self.path == "/bell-token":
            self._send(token_for(self._user), "text/plain")
        elif self.path.endswith(".js"):
            super().do_GET()
        else:
            self._send(self._page(), "text/html")

    def _page(self) -> str:
        page = Path(self.directory, "index.html").read_text(encoding="utf-8")
        return page.replace("http://127.0.0.1:8000", os.environ["BELLWIRE_URL"]).replace("demo", self._user)

    def _send(self, text: str, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(text.encode())


def token_for(user: str) -> str:
    """Your application looks into its session for the user."""
    now = time.time()
    claims = {"sub": user, "aud": "bellwire", "iat": now, "exp": now + 600}
    return jwt.encode(claims, os.environ["BELLWIRE_TOKEN_SECRET"], "HS256")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", help="html, or a built react-19, react-18 or vue")
    parser.add_argument("--user", default="demo", help="who is signed in (%(default)s)")
    parser.add_argument("--port", type=int, default=8001, help="(%(default)s)")
    options = parser.parse_args()
    handler = partial(Handler, user=options.user, directory=options.folder)
    print(f"http://127.0.0.1:{options.port}/", flush=True)
    ThreadingHTTPServer(("127.0.0.1", options.port), handler).serve_forever()


if __name__ == "__main__":
    main()
