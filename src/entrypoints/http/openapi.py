"""The OpenAPI document, and a page that shows it."""

from typing import Any

from litestar import Request, Router
from litestar.datastructures import ResponseHeader
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from entrypoints.http import contract
from entrypoints.http.page import page
from entrypoints.version import app_version
from entrypoints.web.locations import STREAM_DOCUMENT, STREAM_PAGE, to_root
from entrypoints.web.pages import POLICY


class _Page(OpenAPIRenderPlugin):
    """A page made of the document, without a script."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        described = contract.document(request.app, aliases=True)
        return page(_located(request, described), to_root(request.scope)).encode()


class _Document(JsonRenderPlugin):
    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return super().render(request, _located(request, contract.document(request.app)))


def config() -> OpenAPIConfig:
    """The OpenAPI configuration of the application."""
    return OpenAPIConfig(
        title="Bellwire",
        version=app_version(),
        description=_description("/"),
        openapi_router=_router(),
        use_handler_docstrings=True,
        operation_id_creator=contract.operation_id,
        render_plugins=[_Page(path="/"), _Document()],
        components=Components(
            security_schemes={
                "apiKey": SecurityScheme(type="apiKey", name="X-API-Key", security_scheme_in="header"),
                "userToken": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT"),
                "ticket": SecurityScheme(type="apiKey", name="ticket", security_scheme_in="query"),
                "metricsToken": SecurityScheme(type="http", scheme="bearer"),
                "operatorToken": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT"),
            }
        ),
    )


def _router() -> Router:
    return Router(
        "/schema",
        route_handlers=[],
        include_in_schema=False,
        response_headers=[ResponseHeader(name="Content-Security-Policy", value=POLICY)],
    )


def _located(request: Request[Any, Any, Any], document: dict[str, Any]) -> dict[str, Any]:
    """The document with links that are relative to the request's address."""
    root = to_root(request.scope)
    info = document["info"] | {"description": _description(root)}
    # Clients append the paths of operations, each of which begins with a slash.
    return document | {"info": info, "servers": [{"url": root.removesuffix("/")}]}


def _description(root: str) -> str:
    shown, document = (_from(root, path) for path in (STREAM_PAGE, STREAM_DOCUMENT))
    return (
        "Real-time notifications: publish, deliver live, keep per user, mark read. "
        f"The live stream has [a page]({shown}) and [a document]({document}) of its own."
    )


def _from(root: str, path: str) -> str:
    return root + path.removeprefix("/")
