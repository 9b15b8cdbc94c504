"""A request on the fast path, with what guards and handlers read of Litestar's request."""

from collections.abc import Iterator, Mapping
from typing import Any

from litestar import Litestar
from litestar.exceptions import InternalServerException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.types import Receive, Scope

from common.exchanges import fields_of


class Headers(Mapping[str, str]):
    """The headers of a request as text, by lower-case name."""

    __slots__ = ("fields",)

    def __init__(self, raw: Mapping[bytes, bytes]) -> None:
        self.fields = raw

    def __getitem__(self, name: str) -> str:
        return self.fields[name.encode()].decode("latin-1")

    def get(self, name: str, default: Any = None) -> Any:
        value = self.fields.get(name.encode())
        return default if value is None else value.decode("latin-1")

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.encode() in self.fields

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self.fields)

    def __len__(self) -> int:
        return len(self.fields)


class Call:
    """A request. Its body is read once, up to a limit."""

    __slots__ = ("_limit", "_read", "_receive", "app", "headers", "path_params", "scope")

    def __init__(
        self, scope: Scope, receive: Receive, path_params: Mapping[str, Any], limit: int | None
    ) -> None:
        """`limit` is the most bytes of a body."""
        self.scope = scope
        self.app: Litestar = scope["litestar_app"]
        self.headers = Headers(fields_of(scope))
        self.path_params = path_params
        self._receive = receive
        self._limit = limit
        self._read: bytes | None = None

    @property
    def auth(self) -> Any:
        """What the guard found: the claims of the token, or the API key."""
        return self.scope["auth"]

    async def body(self) -> bytes:
        """The body. Raises the framework's errors if it is too large or does not arrive."""
        if self._read is None:
            announced, limit = self.headers.fields.get(b"content-length"), self._limit
            if announced is not None and limit is not None and int(announced) > limit:
                raise RequestEntityTooLarge
            body, more = b"", True
            while more:
                message: Any = await self._receive()
                if message["type"] == "http.disconnect":
                    raise InternalServerException("client disconnected prematurely")
                body += message["body"]
                if limit is not None and len(body) > limit:
                    raise RequestEntityTooLarge
                more = message.get("more_body")
            self._read = body
        return self._read
