"""Chimely. Written after the README of its client and of its load test; never run.

The environment `demo` must not require subscriber hashes. It has no WebSocket: its event stream carries hints
without content, after which a client asks again, so the time from a publish to a frame has no equal here.
"""

import json
from dataclasses import dataclass

from bench.load import request
from bench.peers.peer import publishing


@dataclass(frozen=True)
class Chimely:
    """The management key."""

    key: str
    secret: str
    accepted: int = 201
    marked: int = 204

    def create(self, user: str) -> bytes | None:
        return None

    def publish(self, user: str) -> bytes:
        body = {"subscriber_id": user, "category": "bench", "payload": {"title": "Build 7 has passed."}}
        return publishing("/v1/notifications", body, f"Authorization: Bearer {self.key}")

    def fetch(self, user: str) -> bytes | None:
        return request("GET", "/v1/inbox/items?limit=20&filter=unread", *self._user(user))

    def marks(self, user: str, page: bytes) -> list[bytes]:
        ids = [item["id"] for item in json.loads(page)["items"]]
        path = "/v1/inbox/notifications"
        return [request("POST", f"{path}/{one}/read", *self._user(user), "Content-Length: 0") for one in ids]

    def handshake(self, user: str) -> bytes | None:
        return None

    def hello(self, user: str) -> bytes:
        return b""

    def welcomes(self, payload: bytes) -> bool:
        return False

    def reply(self, payload: bytes) -> bytes | None:
        return None

    @staticmethod
    def _user(user: str) -> tuple[str, str]:
        return "X-Chimely-Environment: demo", f"X-Chimely-Subscriber: {user}"
