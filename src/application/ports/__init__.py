"""What the use cases need from the outside. The docstrings are the specification.

Every method of a port that reaches a server raises `Unavailable` when that server is out of reach,
unless its docstring says otherwise, and returns within a bounded time.
"""

from application.ports.accounts import (
    ApiKeys,
    MissingUsers,
    Passwords,
    RevokedTokens,
    TextForms,
    Tickets,
    Tokens,
    UserDirectory,
    Users,
)
from application.ports.alarms import Alarms
from application.ports.audit import AuditTrail
from application.ports.categories import Categories
from application.ports.erasures import Erasures, Exports
from application.ports.feeds import (
    DueMarks,
    FeedMarks,
    FeedReplay,
    Feeds,
    FeedViews,
    FeedWriter,
    Preferences,
    Retention,
)
from application.ports.limits import LogInAttempts, Rates, Use
from application.ports.live import (
    Announcer,
    Carrier,
    Connection,
    EventStream,
    Follower,
    LiveFeed,
    UnreadIndex,
)
from application.ports.machine import (
    Chance,
    Clock,
    Jitter,
    Monotonic,
    NewId,
    NewToken,
    UserHash,
)
from application.ports.moving import Epochs, MovingIn, MovingOut
from application.ports.queue import (
    DeadLetterBox,
    DeadLetters,
    IdempotencyKeys,
    NotificationQueue,
    Passage,
    QueueReader,
)
from application.ports.stages import Stage, Stages

__all__ = [
    "Alarms",
    "Announcer",
    "ApiKeys",
    "AuditTrail",
    "Carrier",
    "Categories",
    "Chance",
    "Clock",
    "Connection",
    "DeadLetterBox",
    "DeadLetters",
    "DueMarks",
    "Epochs",
    "Erasures",
    "EventStream",
    "Exports",
    "FeedMarks",
    "FeedReplay",
    "FeedViews",
    "FeedWriter",
    "Feeds",
    "Follower",
    "IdempotencyKeys",
    "Jitter",
    "LiveFeed",
    "LogInAttempts",
    "MissingUsers",
    "Monotonic",
    "MovingIn",
    "MovingOut",
    "NewId",
    "NewToken",
    "NotificationQueue",
    "Passage",
    "Passwords",
    "Preferences",
    "QueueReader",
    "Rates",
    "Retention",
    "RevokedTokens",
    "Stage",
    "Stages",
    "TextForms",
    "Tickets",
    "Tokens",
    "UnreadIndex",
    "Use",
    "UserDirectory",
    "UserHash",
    "Users",
]
