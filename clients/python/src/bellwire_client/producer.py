"""What a producer or an operator does over HTTP."""

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias, TypedDict, Unpack

from bellwire_client.access import Access, segment, user_path
from bellwire_client.errors import Problem
from bellwire_client.events import Action, Actor
from bellwire_client.preferences import Category
from bellwire_client.selection import zoned

Severity: TypeAlias = Literal["info", "success", "warning", "critical"]


class Extras(TypedDict, total=False):
    """What a notification may have beside its event and message; docs/http-api.md has the rules."""

    title: str | None
    category: str | None
    """What `event` has before its first dot, if it is left out."""
    metadata: Mapping[str, Any] | None
    action_url: str | None
    expires_at: datetime | None
    severity: Severity | None
    image_url: str | None
    icon: str | None
    actions: Sequence[Action] | None
    """At most three."""
    actor: Actor | None
    collapse_key: str | None
    """Notifications with the same key become one."""
    collapse: Literal["unread", "always"] | None


class Producer(Access):
    """The calls with an API key."""

    async def publish(
        self,
        user_id: str,
        event: str,
        message: str,
        *,
        idempotency_key: str | None = None,
        **extras: Unpack[Extras],
    ) -> str:
        """Publish a notification and return its id.

        It is stored once even if the call is repeated: by this client, under a random key, or by the caller,
        with the same `idempotency_key` (1 to 255 characters) and the same content within 24 hours. Raises
        Problem, Unreachable; after Unreachable, and a Problem of the kind `unconfirmed`, the outcome is
        unknown. ValueError if `expires_at` has no time zone or a text contains half a surrogate pair.
        """
        body = {"user_id": user_id, "event": event, "message": message, **_sent(extras)}
        answer = await self._rest(
            "POST", "/v1/notifications", **_json(_encoded(body), self._once_under(idempotency_key))
        )
        return str(answer["id"])

    async def publish_batch(
        self, items: Iterable[Mapping[str, Any] | bytes], *, idempotency_key: str | None = None
    ) -> list[str | Problem]:
        """Publish 1 to 1,000 notifications, of up to 1 MiB; return the id of each, or why it was refused.

        An item has what the body of `POST /v1/notifications` has, as a mapping or as JSON text. The key
        stands for all of them, in this order. Raises as `publish`.
        """
        encoded = (item if isinstance(item, bytes) else _encoded(item) for item in items)
        content = b'{"items":[' + b",".join(encoded) + b"]}"
        headers = self._once_under(idempotency_key)
        answer = await self._rest("POST", "/v1/notifications/batch", **_json(content, headers))
        return [_outcome(result) for result in answer["results"]]

    async def edit(
        self,
        user_id: str,
        notification_id: str,
        event: str,
        message: str,
        *,
        revision: int | None = None,
        unread: bool = False,
        **extras: Unpack[Extras],
    ) -> None:
        """Replace the content of a notification: all of it, with the same `event`. What the user did with it
        stays, unless `unread` makes it unread and unseen again.

        Of two revisions the higher one stands, whichever arrives first; the service's time in milliseconds is
        used if none is given. Raises as `publish`.
        """
        body = {"event": event, "message": message, **_sent(extras)}
        if revision is not None:
            body["revision"] = revision
        if unread:
            body["unread"] = True
        call = _json(_encoded(body), self._key())
        await self._rest("PUT", _notification(user_id, notification_id), **call)

    async def retract(self, user_id: str, notification_id: str) -> Literal["retracted", "recorded"]:
        """Take a notification back; again does no harm. `recorded`: it has not arrived, and will not be shown
        when it does. Raises Problem, Unreachable.
        """
        answer = await self._as_producer("DELETE", _notification(user_id, notification_id))
        outcome: Literal["retracted", "recorded"] = answer["outcome"]
        return outcome

    async def put_user(self, user_id: str, name: str, *, email: str | None = None) -> None:
        """Create a user, or change the name, and the address if one is given. Raises Problem, Unreachable."""
        body = {"name": name} if email is None else {"name": name, "email": email}
        await self._as_producer("PUT", user_path(user_id), json=body)

    async def categories(self) -> list[Category]:
        """The categories of the service. Raises Problem, Unreachable."""
        answer = await self._as_producer("GET", "/v1/categories")
        return [Category.of(one) for one in answer["items"]]

    async def set_category(
        self,
        category: str,
        *,
        title: str | None = None,
        description: str | None = None,
        mandatory: bool = False,
        default: Literal["on", "off"] = "on",
        expires_after: timedelta | None = None,
    ) -> Category:
        """Set what a category is. Users' choices stay. Raises Problem, Unreachable."""
        body = {
            "title": title,
            "description": description,
            "mandatory": mandatory,
            "default": default,
            "expires_after": expires_after and int(expires_after.total_seconds()),
        }
        path = f"/v1/categories/{segment(category)}"
        return Category.of(await self._as_producer("PUT", path, json=body))

    def _once_under(self, idempotency_key: str | None) -> dict[str, str]:
        key = secrets.token_hex(16) if idempotency_key is None else idempotency_key
        return {**self._key(), "Idempotency-Key": key}


def _notification(user_id: str, notification_id: str) -> str:
    return f"{user_path(user_id)}/notifications/{segment(notification_id)}"


def _sent(extras: Extras) -> dict[str, Any]:
    """What is given, as it is sent. Raises ValueError."""
    sent = {name: value for name, value in extras.items() if value is not None}
    if expires_at := extras.get("expires_at"):
        sent["expires_at"] = zoned("expires_at", expires_at)
    if actions := extras.get("actions"):
        sent["actions"] = [_plain(action) for action in actions]
    if actor := extras.get("actor"):
        sent["actor"] = _plain(actor)
    return sent


def _plain(part: Action | Actor) -> dict[str, Any]:
    values = ((name, getattr(part, name)) for name in part.__dataclass_fields__)
    return {name: value for name, value in values if value is not None}


def _outcome(result: Mapping[str, Any]) -> str | Problem:
    error = result.get("error")
    return str(result["id"]) if error is None else Problem(int(error["status"]), error)


def _encoded(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()  # escapes would take more of the 16 KiB


def _json(content: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    return {"headers": {**headers, "Content-Type": "application/json"}, "content": content}
