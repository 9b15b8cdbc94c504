"""Centrifugo 6. Written after its documentation; never run.

It keeps no notifications for users, so there is nothing to fetch or to mark. `client.token.hmac_secret_key`
is the secret, `http_api.key` the key. The user's channel comes with the token (claim `channels`).
"""

import json
from dataclasses import dataclass

from bench.load import STAMP
from bench.peers.peer import publishing, token, upgrade


@dataclass(frozen=True)
class Centrifugo:
    """The server API's key, and the secret of the connection tokens."""

    key: str
    secret: str
    accepted: int = 200
    marked: int = 0

    def create(self, user: str) -> bytes | None:
        return None

    def publish(self, user: str) -> bytes:
        data = {"event": "bench.done", "message": "Build 7 has passed.", "sent": int(STAMP)}
        return publishing("/api/publish", {"channel": user, "data": data}, f"X-API-Key: {self.key}")

    def fetch(self, user: str) -> bytes | None:
        return None

    def marks(self, user: str, page: bytes) -> list[bytes]:
        return []

    def handshake(self, user: str) -> bytes | None:
        return upgrade("/connection/websocket")

    def hello(self, user: str) -> bytes:
        made = token(self.secret, sub=user, channels=[user])
        return json.dumps({"id": 1, "connect": {"token": made}}).encode()

    def welcomes(self, payload: bytes) -> bool:
        return b'"connect":' in payload

    def reply(self, payload: bytes) -> bytes | None:
        return b"{}" if payload.strip() == b"{}" else None
