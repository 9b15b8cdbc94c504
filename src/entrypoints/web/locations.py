"""Where a request goes, and relative links between pages: a proxy may serve the whole service below a path of
its own.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from common.exchanges import fields_of

STREAM_DOCUMENT, STREAM_PAGE = "/schema/asyncapi.json", "/schema/stream"

_PLAIN_HOST = re.compile(rb"[0-9A-Za-z.:\[\]-]*")


def plain_path(scope: Mapping[str, Any]) -> str | None:
    """The requested path, without the path of a proxy; None if the framework must find it, or judge the
    host.
    """
    root: str = scope.get("root_path", "")
    path: str = scope["path"]
    if not _is_plain(fields_of(scope).get(b"host", b"")):
        return None
    if not root:
        return path
    return path[len(root) :] if path.startswith(root) else None


@lru_cache(maxsize=256)
def _is_plain(host: bytes) -> bool:
    return _PLAIN_HOST.fullmatch(host) is not None


def own_path(scope: Mapping[str, Any]) -> str:
    """The requested path as it was written, without the path of a proxy."""
    raw: bytes | None = scope.get("raw_path")  # optional in ASGI
    path: str = raw.decode("latin-1") if raw else scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def to_root(scope: Mapping[str, Any]) -> str:
    """The relative path from the requested page to the root of the service: `./`, `../` and so on.

    A path that begins with `/` would drop the proxy's path. Whether the page's address ends in a slash
    matters too (RFC 3986 §5.2.3).
    """
    return "../" * (own_path(scope).count("/") - 1) or "./"
