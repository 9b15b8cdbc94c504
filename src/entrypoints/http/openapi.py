"""The OpenAPI document, and a page that shows it."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from litestar import Request
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.static_files import create_static_files_router

from entrypoints.http import contract
from entrypoints.version import app_version
from entrypoints.web.locations import STREAM_DOCUMENT, STREAM_PAGE, to_root

_FILES = "/schema/ui"


class _Page(SwaggerRenderPlugin):
    """Swagger UI with local files instead of a content delivery network: works without internet access."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        files = _from(to_root(request.scope), _FILES)
        page = SwaggerRenderPlugin(
            favicon="<link rel='icon' href='data:,'>",
            js_url=f"{files}/swagger-ui-bundle.js",
            css_url=f"{files}/swagger-ui.css",
            standalone_preset_js_url=f"{files}/swagger-ui-standalone-preset.js",
        )
        return page.render(request, _located(request, contract.document(request.app, aliases=True)))


class _Document(JsonRenderPlugin):
    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return super().render(request, _located(request, contract.document(request.app)))


def config() -> OpenAPIConfig:
    """The OpenAPI configuration of the application."""
    return OpenAPIConfig(
        title="Bellwire",
        version=app_version(),
        description=_description("/"),
        path="/schema",
        use_handler_docstrings=True,
        operation_id_creator=contract.operation_id,
        render_plugins=[_Page(), _Document()],
        components=Components(
            security_schemes={
                "apiKey": SecurityScheme(type="apiKey", name="X-API-Key", security_scheme_in="header"),
                "userToken": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT"),
                "ticket": SecurityScheme(type="apiKey", name="ticket", security_scheme_in="query"),
                "operatorToken": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT"),
            }
        ),
    )


def files() -> Any:
    """The routes of the page's files, which come from the package swagger-ui-py. Raises RuntimeError."""
    package = find_spec("swagger_ui")
    if package is None or package.origin is None:
        message = "swagger-ui-py is not installed"
        raise RuntimeError(message)
    static = Path(package.origin).parent / "static"
    return create_static_files_router(_FILES, [static], include_in_schema=False)


def _located(request: Request[Any, Any, Any], document: dict[str, Any]) -> dict[str, Any]:
    """The document with links that are relative to the request's address."""
    root = to_root(request.scope)
    info = document["info"] | {"description": _description(root)}
    # Clients append the paths of operations, each of which begins with a slash.
    return document | {"info": info, "servers": [{"url": root.removesuffix("/")}]}


def _description(root: str) -> str:
    page, document = (_from(root, path) for path in (STREAM_PAGE, STREAM_DOCUMENT))
    return (
        "Real-time notifications: publish, deliver live, keep per user, mark read. "
        f"The live stream has [a page]({page}) and [a document]({document}) of its own."
    )


def _from(root: str, path: str) -> str:
    return root + path.removeprefix("/")
