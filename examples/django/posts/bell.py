"""What Bellwire is told: who the users are, and of what they are notified. Copy this file."""

import os
import time

import httpx
import jwt

URL = os.environ["BELLWIRE_URL"]
_http = httpx.Client(base_url=URL, headers={"X-API-Key": os.environ["BELLWIRE_API_KEY"]}, timeout=5)


class Unavailable(Exception):
    """Bellwire may have it or not: send the same again later."""


def publish(notification: dict[str, object], *, key: str) -> None:
    """Publish. However often it is repeated with the same key and content, it is one notification.

    Raises Unavailable; httpx.HTTPStatusError if Bellwire refuses it and always will.
    """
    _send("POST", "/v1/notifications", json=notification, headers={"Idempotency-Key": key})


def put_user(user: str, name: str) -> None:
    """Create a user or change the name, as often as you like. Raises as `publish`."""
    _send("PUT", f"/v1/users/{user}", json={"name": name})


def token_for(user: str) -> str:
    """What a page of this user shows Bellwire, for ten minutes; the bell asks for another in time."""
    now = time.time()
    claims = {"sub": user, "aud": "bellwire", "iat": now, "exp": now + 600}
    return jwt.encode(claims, os.environ["BELLWIRE_TOKEN_SECRET"], "HS256")


def _send(method: str, path: str, **options: object) -> None:
    try:
        answer = _http.request(method, path, **options)  # type: ignore[arg-type]
    except httpx.TransportError as error:
        raise Unavailable(str(error)) from error
    if answer.status_code in {429, 503}:
        raise Unavailable(answer.text)
    answer.raise_for_status()
