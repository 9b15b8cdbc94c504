"""What the use cases need from the outside. The docstrings are the specification.

Every method of a port that reaches a server raises `Unavailable` when that server is out of reach,
unless its docstring says otherwise, and returns within a bounded time.
"""

from application.ports.accounts import (
    ApiKeys,
    Passwords,
    RevokedTokens,
    TextForms,
    Tickets,
    Tokens,
    Users,
)
from application.ports.feeds import DueMarks, FeedMarks, FeedReplay, Feeds, FeedViews, FeedWriter, Retention
from application.ports.live import Announcer, Connection, EventStream, Follower, LiveFeed, UnreadIndex
from application.ports.machine import Chance, Clock, Jitter, Monotonic, NewId, NewToken, Render
from application.ports.queue import (
    DeadLetterBox,
    DeadLetters,
    IdempotencyKeys,
    NotificationQueue,
    QueueReader,
)

__all__ = [
    "Announcer",
    "ApiKeys",
    "Chance",
    "Clock",
    "Connection",
    "DeadLetterBox",
    "DeadLetters",
    "DueMarks",
    "EventStream",
    "FeedMarks",
    "FeedReplay",
    "FeedViews",
    "FeedWriter",
    "Feeds",
    "Follower",
    "IdempotencyKeys",
    "Jitter",
    "LiveFeed",
    "Monotonic",
    "NewId",
    "NewToken",
    "NotificationQueue",
    "Passwords",
    "QueueReader",
    "Render",
    "Retention",
    "RevokedTokens",
    "TextForms",
    "Tickets",
    "Tokens",
    "UnreadIndex",
    "Users",
]
