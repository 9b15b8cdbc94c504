"""Bellwire itself, addressed like any other system: see docs/http-api.md and docs/live-stream.md."""

import json
from dataclasses import dataclass

from bench.load import STAMP, request
from bench.peers.peer import publishing, token, upgrade


@dataclass(frozen=True)
class Bellwire:
    """A key with the scopes `publish` and `users`, and the secret of the tokens."""

    key: str
    secret: str
    accepted: int = 202
    marked: int = 200

    def create(self, user: str) -> bytes | None:
        return publishing("/v1/users", {"id": user, "name": user}, f"X-API-Key: {self.key}")

    def publish(self, user: str) -> bytes:
        sent = {"metadata": {"sent": int(STAMP)}}
        body = {"user_id": user, "event": "bench.done", "message": "Build 7 has passed.", **sent}
        return publishing("/v1/notifications", body, f"X-API-Key: {self.key}")

    def fetch(self, user: str) -> bytes | None:
        return request("GET", f"/v1/users/{user}/notifications", self._user(user))

    def marks(self, user: str, page: bytes) -> list[bytes]:
        path = f"/v1/users/{user}/notifications"
        ids = [item["id"] for item in json.loads(page)["items"]]
        return [request("PATCH", f"{path}/{one}/read", self._user(user)) for one in ids]

    def handshake(self, user: str) -> bytes | None:
        return upgrade(f"/ws/{user}", self._user(user))

    def hello(self, user: str) -> bytes:
        return b""

    def welcomes(self, payload: bytes) -> bool:
        return payload.startswith(b'{"type":"welcome"')

    def reply(self, payload: bytes) -> bytes | None:
        return b'{"type":"pong"}' if payload.startswith(b'{"type":"ping"') else None

    def _user(self, user: str) -> str:
        return f"Authorization: Bearer {token(self.secret, sub=user, aud='bellwire')}"
