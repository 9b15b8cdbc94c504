"""The frames that a session sends, except those of changes, which are encoded once for all streams.

`entrypoints.live.protocol` says what each means.
"""

from collections.abc import Mapping
from typing import TypeAlias

from application.following_actions import Replayed, Reset, Welcome
from common import wire
from domain.feed import Feed

Body: TypeAlias = Mapping[str, object]
"""The content of a frame, before it is encoded."""


def welcome(start: Welcome, *, session: str, ping_seconds: float, token_seconds: int, server: str) -> Body:
    """The first frame."""
    return {
        "type": "welcome",
        "session": session,
        "cursor": str(start.position),
        **wire.counts(start.feed),
        "preferences_version": start.feed.preferences_version,
        "ping_interval": ping_seconds,
        "token_expires_in": token_seconds,
        "resumed": start.resumed,
        "server": server,
    }


def replayed(end: Replayed) -> Body:
    """A catch-up is complete."""
    return {"type": "replayed", **_standing(end.feed)}


def reset(to: Reset) -> Body:
    """The client must load the feed again."""
    return {"type": "reset", **_standing(to.feed), "reason": to.reason}


def _standing(feed: Feed) -> Body:
    return {
        "cursor": str(feed.cursor),
        **wire.counts(feed),
        "preferences_version": feed.preferences_version,
    }


def ok(ref: object, answer: Mapping[str, int]) -> Body:
    """A command was carried out."""
    return {"type": "ok", "ref": ref, **answer}


def error(ref: object, code: str, detail: str, *, temporary: bool = False) -> Body:
    """A command was refused, or not understood."""
    return {"type": "error", "ref": ref, "code": code, "detail": detail, "temporary": temporary}
