"""An example or two of every frame of the live stream, for the AsyncAPI document."""

from typing import Any

_ID = "01a202bb-ab09-7455-8828-c43162a00800"
_OTHER_ID = "01a202bb-ab0a-7219-8a4f-2f1c6d0e9b00"

_NOTIFICATION = {
    "id": _ID,
    "user_id": "demo",
    "version": 4,
    "event": "comment.created",
    "category": "comment",
    "title": "New reply",
    "message": "Ada replied.",
    "metadata": {"post": 42},
    "action_url": "/posts/42",
    "created_at": "2026-11-22T10:09:43.177090Z",
    "seen_at": None,
    "read_at": None,
    "archived_at": None,
    "retracted_at": None,
    "expires_at": None,
}

EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "welcome": [
        {
            "type": "welcome",
            "session": "684ec340c49fc7ff2e253fa7000a892e",
            "cursor": "d9dd1d46.3",
            "unread_count": 1,
            "unseen_count": 0,
            "unread_in": {"comment": 1},
            "preferences_version": 0,
            "ping_interval": 25,
            "token_expires_in": 3547,
            "resumed": False,
            "server": "70dd84cd",
        }
    ],
    "notifications": [
        {
            "type": "notifications",
            "items": [_NOTIFICATION],
            "prev": "d9dd1d46.3",
            "cursor": "d9dd1d46.4",
            "unread_count": 2,
            "unseen_count": 0,
            "unread_in": {"comment": 2},
        }
    ],
    "update": [
        {
            "type": "update",
            "ids": [_ID],
            "set": {"read_at": "2026-11-22T10:09:44.743609Z"},
            "prev": "d9dd1d46.4",
            "cursor": "d9dd1d46.5",
            "unread_count": 1,
            "unseen_count": 0,
            "unread_in": {"comment": 1},
        },
        {
            "type": "update",
            "up_to": "d9dd1d46.5",
            "set": {"archived_at": "2026-11-22T10:10:02.118400Z"},
            "prev": "d9dd1d46.5",
            "cursor": "d9dd1d46.7",
            "unread_count": 0,
            "unseen_count": 0,
            "unread_in": {},
        },
        {
            "type": "update",
            "ids": [_OTHER_ID],
            "set": {"acted_at": "2026-11-22T10:11:20.700911Z"},
            "action": "approve",
            "prev": "d9dd1d46.7",
            "cursor": "d9dd1d46.8",
            "unread_count": 0,
            "unseen_count": 0,
            "unread_in": {},
        },
        {
            "type": "update",
            "ids": [_ID],
            "set": {"snoozed_until": "2026-11-23T08:00:00Z"},
            "prev": "d9dd1d46.8",
            "cursor": "d9dd1d46.9",
            "unread_count": 0,
            "unseen_count": 0,
            "unread_in": {},
        },
        {
            "type": "update",
            "ids": [_ID],
            "set": {"woken_at": "2026-11-23T08:00:00.309112Z"},
            "prev": "d9dd1d46.9",
            "cursor": "d9dd1d46.10",
            "unread_count": 1,
            "unseen_count": 1,
            "unread_in": {"comment": 1},
        },
        {
            "type": "update",
            "ids": [],
            "set": {},
            "preferences": {"billing": False, "comment": None},
            "prev": "d9dd1d46.10",
            "cursor": "d9dd1d46.11",
            "unread_count": 1,
            "unseen_count": 1,
            "unread_in": {"comment": 1},
        },
    ],
    "replayed": [
        {
            "type": "replayed",
            "cursor": "d9dd1d46.7",
            "unread_count": 0,
            "unseen_count": 0,
            "unread_in": {},
            "preferences_version": 0,
        }
    ],
    "reset": [
        {
            "type": "reset",
            "cursor": "d9dd1d46.7",
            "unread_count": 0,
            "unseen_count": 0,
            "unread_in": {},
            "preferences_version": 0,
            "reason": "epoch",
        }
    ],
    "ok": [{"type": "ok", "ref": 1, "changed": 1}],
    "error": [
        {
            "type": "error",
            "ref": 3,
            "code": "refused",
            "detail": "up_to is not a cursor of this service",
            "temporary": False,
        }
    ],
    "ping": [{"type": "ping"}],
    "bye": [
        {
            "type": "bye",
            "code": 4004,
            "reason": "the token has expired",
            "retry_ms": 640,
            "resume": True,
        },
        {
            "type": "bye",
            "code": 4511,
            "reason": "This stream ticket is unknown, used or too old.",
            "retry_ms": None,
            "resume": False,
        },
    ],
    "pong": [{"type": "pong"}],
    "seen": [{"type": "seen", "up_to": "d9dd1d46.7", "ref": "bell"}],
    "read": [
        {"type": "read", "ids": [_ID, _OTHER_ID], "ref": 1},
        {"type": "read", "up_to": "d9dd1d46.7", "ref": "all"},
        {"type": "read", "up_to": "d9dd1d46.7", "category": "comment", "ref": "tab"},
    ],
    "unread": [{"type": "unread", "ids": [_ID], "ref": 2}],
    "archive": [{"type": "archive", "ids": [_ID], "ref": 3}],
    "unarchive": [{"type": "unarchive", "ids": [_ID], "ref": 4}],
    "snooze": [{"type": "snooze", "ids": [_ID], "until": "2026-11-23T08:00:00Z", "ref": 7}],
    "unsnooze": [{"type": "unsnooze", "ids": [_ID], "ref": 8}],
    "act": [{"type": "act", "id": _ID, "action": "approve", "ref": 6}],
    "refresh": [{"type": "refresh", "token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJkZW1vIn0.c2ln", "ref": 5}],
}
