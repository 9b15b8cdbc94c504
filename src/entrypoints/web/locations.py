"""Where a page is, for its links: a proxy may serve all of this below a path of its own."""

from collections.abc import Mapping
from typing import Any

STREAM_DOCUMENT, STREAM_PAGE = "/schema/asyncapi.json", "/schema/stream"


def own_path(scope: Mapping[str, Any]) -> str:
    """The path that was asked for, as it was written, without what is in front of the service."""
    raw: bytes | None = scope.get("raw_path")  # which ASGI leaves to the server
    path: str = raw.decode("latin-1") if raw else scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def to_root(scope: Mapping[str, Any]) -> str:
    """The way from the page that was asked for to the root of the service: `./`, `../` and so on.

    A path that begins with `/` would lead past the proxy's own. Whether the page's address ends in a slash
    matters too (RFC 3986 §5.2.3).
    """
    return "../" * (own_path(scope).count("/") - 1) or "./"
