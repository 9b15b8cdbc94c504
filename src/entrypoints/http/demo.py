"""The demo's page, which shows a feed live and the command that publishes to it."""

import re
from pathlib import Path

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from entrypoints.web.pages import policy

_PAGE = Path(__file__).with_name("demo.html")


def demo_page(key: str) -> HTTPRouteHandler:
    """The route of the page. `key` is the API key that it shows, if any."""
    page = _PAGE.read_text().replace("{{key}}", key)
    headers = {"Cache-Control": "no-store", "Content-Security-Policy": _policy(page)}

    @get("/", include_in_schema=False, media_type="text/html")
    async def demo() -> Response[str]:
        return Response(page, headers=headers)

    return demo


def _policy(page: str) -> str:
    """Admit the page's own style and script, by their hashes."""
    (style,), (script,) = (
        re.findall(rf"<{element}>(.*?)</{element}>", page, re.DOTALL) for element in ("style", "script")
    )
    return policy(style, script, connect=True)
