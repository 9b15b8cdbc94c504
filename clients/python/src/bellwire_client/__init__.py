"""A client of Bellwire: follow a feed live, read and mark an inbox, publish."""

from bellwire_client.client import Bellwire
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
    Action,
    Actor,
    Connected,
    Counts,
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
from bellwire_client.live import LiveInbox
from bellwire_client.preferences import Category, CategoryPreference, Preferences
from bellwire_client.producer import Severity
from bellwire_client.reader import Status, View
from bellwire_client.stream import Stream
from bellwire_client.tokens import Token

__all__ = [
    "Action",
    "Actor",
    "Bellwire",
    "BellwireError",
    "Category",
    "CategoryPreference",
    "CommandRefused",
    "Connected",
    "Counts",
    "Disconnected",
    "Event",
    "Inbox",
    "LiveInbox",
    "NotConnected",
    "Notification",
    "Notifications",
    "OutcomeUnknown",
    "Page",
    "Preferences",
    "Problem",
    "Replayed",
    "Reset",
    "Severity",
    "Status",
    "Stream",
    "StreamRefused",
    "Token",
    "Unreachable",
    "Update",
    "View",
]
