"""The frames that a session sends, except those of changes, which are encoded once for all streams.

`entrypoints.live.protocol` says what each means.
"""

from collections.abc import Mapping
from typing import TypeAlias

from application.following_actions import Replayed, Reset, Welcome

Said: TypeAlias = Mapping[str, object]
"""A frame, to be encoded."""


def welcome(begun: Welcome, *, session: str, ping_seconds: float, token_seconds: int, server: str) -> Said:
    """The first frame."""
    return {
        "type": "welcome",
        "session": session,
        "cursor": str(begun.position),
        "unread_count": begun.feed.unread_count,
        "ping_interval": ping_seconds,
        "token_expires_in": token_seconds,
        "resumed": begun.resumed,
        "server": server,
    }


def replayed(end: Replayed) -> Said:
    """A catch-up is complete."""
    return {"type": "replayed", "cursor": str(end.feed.cursor), "unread_count": end.feed.unread_count}


def reset(to: Reset) -> Said:
    """The client must load the feed again."""
    cursor, unread = str(to.feed.cursor), to.feed.unread_count
    return {"type": "reset", "cursor": cursor, "unread_count": unread, "reason": to.reason}


def ok(ref: object, answer: Mapping[str, int]) -> Said:
    """A command was carried out."""
    return {"type": "ok", "ref": ref, **answer}


def error(ref: object, code: str, detail: str, *, temporary: bool = False) -> Said:
    """A command was refused, or not understood."""
    return {"type": "error", "ref": ref, "code": code, "detail": detail, "temporary": temporary}
