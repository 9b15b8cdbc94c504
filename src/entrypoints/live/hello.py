"""What a client asks for when it connects, and whether it is allowed, on every kind of stream."""

from urllib.parse import parse_qsl, urlsplit

from litestar.types import Scope

from application.accounts import AuthenticateUser
from application.errors import NotAllowed
from domain.errors import FieldError, Invalid
from domain.feed import Cursor
from domain.identifiers import UserId
from entrypoints.live.streaming import Hello
from entrypoints.web.guards import bearer_token

_READ = frozenset({b"authorization", b"host", b"last-event-id", b"origin"})


class Request:
    """The request for a stream: the headers that are read, the first of each name, and the query."""

    def __init__(self, scope: Scope) -> None:
        self.headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in reversed(list(scope["headers"]))
            if name in _READ
        }
        query = scope["query_string"].decode("latin-1")
        self.query_params = dict(parse_qsl(query, keep_blank_values=True)) if query else {}


async def read_hello(request: Request, user: UserId, authenticate: AuthenticateUser) -> Hello:
    """Read what a client asks for, and check its credentials, from the query and the headers.

    Raises NotAuthenticated, NotAllowed, Invalid, Unavailable.
    """
    query = request.query_params
    if "ticket" in query:
        claims = await authenticate.ticket(query["ticket"])
    else:
        claims = await authenticate.token(bearer_token(request.headers))
    if claims.user_id != user:
        raise NotAllowed("These credentials belong to another user.")
    view = query.get("view", "manual")
    if view not in {"manual", "auto"}:
        raise Invalid([FieldError("view", "must be manual or auto")])
    # An EventSource that reconnects requests its first URL again; this header says how far it got since.
    asked = (request.headers.get("last-event-id"), query.get("cursor"))
    cursors = [Cursor.parse(cursor) for cursor in asked if cursor]
    return Hello(claims, cursors[0] if cursors else None, view == "auto")


def check_origin(request: Request, allowed: frozenset[str]) -> None:
    """Check the origin: browsers let any page open a socket to any host, and send the page's origin
    (RFC 6455 §10.2).

    Raises NotAllowed.
    """
    origin = request.headers.get("origin")
    if origin is None or origin in allowed:
        return
    try:
        ours = urlsplit(origin).netloc == request.headers.get("host")
    except ValueError:  # not a URL
        ours = False
    if not ours:
        raise NotAllowed("This origin is not allowed.")
