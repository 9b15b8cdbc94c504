"""A client of Bellwire: follow a feed live, read and mark an inbox, publish."""

from bellwire_client.client import Bellwire, Status, View
from bellwire_client.errors import (
    BellwireError,
    CommandRefused,
    NotConnected,
    OutcomeUnknown,
    Problem,
    StreamRefused,
    Unreachable,
)
from bellwire_client.events import (
    Connected,
    Disconnected,
    Event,
    Notification,
    Notifications,
    Page,
    Replayed,
    Reset,
    Update,
)
from bellwire_client.inbox import Inbox
from bellwire_client.stream import Stream
from bellwire_client.tokens import Token

__all__ = [
    "Bellwire",
    "BellwireError",
    "CommandRefused",
    "Connected",
    "Disconnected",
    "Event",
    "Inbox",
    "NotConnected",
    "Notification",
    "Notifications",
    "OutcomeUnknown",
    "Page",
    "Problem",
    "Replayed",
    "Reset",
    "Status",
    "Stream",
    "StreamRefused",
    "Token",
    "Unreachable",
    "Update",
    "View",
]
