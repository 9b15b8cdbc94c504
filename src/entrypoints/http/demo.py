"""The demo's page: two users and their bells, a form that publishes, and the stages of a notification.

Its routes exist only where the demo is on. They give away a producer's key and the tokens of the demo's
users, which is why the settings allow the demo only on loopback.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from html import escape
from pathlib import Path
from uuid import UUID

from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from application.ports import Stage, Stages
from domain.identifiers import NotificationId, UserId
from entrypoints.demo_users import DEMO_USERS
from entrypoints.web.headers import NO_STORE

FOLDER = Path(__file__).with_name("demo")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' https: data:; "  # notifications may bring images
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_UNCACHED = {"Cache-Control": "no-store"}


def demo_routes(key: str, token: Callable[[UserId], str], stages: Stages) -> list[HTTPRouteHandler]:
    """The routes of the page. `key` is the API key with which it publishes, if it has one; `token` makes a
    token of a user.
    """
    return [_page(key), _files(), _tokens(token), _stages(stages)]


def _page(key: str) -> HTTPRouteHandler:
    page = (FOLDER / "page.html").read_text().replace("{{key}}", escape(key))
    headers = {**_UNCACHED, "Content-Security-Policy": POLICY}

    @get("/", include_in_schema=False, media_type="text/html")
    async def demo() -> Response[str]:
        return Response(page, headers=headers)

    return demo


def _files() -> HTTPRouteHandler:
    files = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.suffix in _TYPES}

    @get("/demo/{file:str}", include_in_schema=False)
    async def demo_file(file: FromPath[str]) -> Response[bytes]:
        if file not in files:
            raise NotFoundException
        return Response(files[file], headers=_UNCACHED, media_type=_TYPES[Path(file).suffix])

    return demo_file


def _tokens(token: Callable[[UserId], str]) -> HTTPRouteHandler:
    @get("/demo/tokens/{user_id:str}", include_in_schema=False, cache_control=NO_STORE)
    async def demo_token(user_id: FromPath[str]) -> dict[str, str]:
        if user_id not in DEMO_USERS:
            raise NotFoundException
        return {"token": token(UserId(user_id))}

    return demo_token


def _stages(stages: Stages) -> HTTPRouteHandler:
    @get("/demo/stages/{notification_id:uuid}", include_in_schema=False, cache_control=NO_STORE)
    async def demo_stages(notification_id: FromPath[UUID]) -> Mapping[Stage, datetime]:
        return await stages.of(NotificationId(notification_id))

    return demo_stages
