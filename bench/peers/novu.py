"""Novu, self-hosted. Written after its API reference and the protocols of engine.io 4 and socket.io 5; never
run.

The workflow `bench` must exist, with one in-app step. API and WebSocket service have ports of their own: put
a proxy in front that sends `/socket.io/` to the second. Lists and marks use the server's plane
(`/v2/subscribers`), with the key. The socket's token is minted here as Novu's session call does, with
`JWT_SECRET`.
"""

import json
from dataclasses import dataclass

from bench.load import STAMP, request
from bench.peers.peer import publishing, token, upgrade


@dataclass(frozen=True)
class Novu:
    """The environment's secret key, and the secret of the subscribers' tokens."""

    key: str
    secret: str
    accepted: int = 201
    marked: int = 200

    def create(self, user: str) -> bytes | None:
        return publishing("/v2/subscribers", {"subscriberId": user}, self._key)

    def publish(self, user: str) -> bytes:
        payload = {"message": "Build 7 has passed.", "sent": int(STAMP)}
        body = {"name": "bench", "to": {"subscriberId": user}, "payload": payload}
        return publishing("/v1/events/trigger", body, self._key)

    def fetch(self, user: str) -> bytes | None:
        return request("GET", f"/v2/subscribers/{user}/notifications?limit=20&read=false", self._key)

    def marks(self, user: str, page: bytes) -> list[bytes]:
        path = f"/v2/subscribers/{user}/notifications"
        ids = [item["id"] for item in json.loads(page)["data"]]
        return [request("PATCH", f"{path}/{one}/read", self._key) for one in ids]

    def handshake(self, user: str) -> bytes | None:
        made = token(self.secret, subscriberId=user, aud="widget_user")
        return upgrade(f"/socket.io/?EIO=4&transport=websocket&token={made}")

    def hello(self, user: str) -> bytes:
        return b'40{"token":"%b"}' % token(self.secret, subscriberId=user, aud="widget_user").encode()

    def welcomes(self, payload: bytes) -> bool:
        return payload.startswith(b"40")

    def reply(self, payload: bytes) -> bytes | None:
        return b"3" if payload == b"2" else None

    @property
    def _key(self) -> str:
        return f"Authorization: ApiKey {self.key}"
