"""The client."""

from bellwire_client.access import segment
from bellwire_client.events import Page
from bellwire_client.live import LiveInbox
from bellwire_client.producer import Producer
from bellwire_client.reader import Reader, View
from bellwire_client.stream import Stream


class Bellwire(Reader, Producer):
    """A Bellwire service, as one user (`token`), as a producer (`api_key`), or as both.

    `token` is a user's token, or an async function that returns a fresh one. It is called for each connection
    of a stream, before a token expires, and when one was refused. If it raises OSError, TimeoutError or
    httpx.TransportError it is called again later; other errors are passed on.

    Calls over HTTP need `async with Bellwire(…) as client`; a stream does not. A call that fails because a
    server is unavailable (a 502, 503 or 504, a broken connection) is repeated for `patience` seconds.

    `transport`, `open_socket` and `random` are for tests. Time is the event loop's.
    """

    def stream(self, user_id: str, *, cursor: str | None = None, view: View = "manual") -> Stream:
        """Follow a feed from after a cursor, or from now: `async with client.stream(…) as stream`.

        With `view="auto"` notifications that are delivered live are marked read.
        """
        return Stream(
            f"{self._socket_url}/ws/{segment(user_id)}",
            self._user(),
            cursor=cursor,
            view=view,
            open_socket=self._open_socket,
            random=self._random,
        )

    def inbox(self, user_id: str, *, limit: int = 100, view: View = "manual") -> LiveInbox:
        """An inbox that loads itself and follows the feed: `async with client.inbox(…) as inbox`. Its pages
        have `limit` notifications, 1 to 100.
        """

        async def fetch(cursor: str | None) -> Page:
            return await self.notifications(user_id, status="all", limit=limit, cursor=cursor)

        return LiveInbox(fetch, lambda cursor: self.stream(user_id, cursor=cursor, view=view))
