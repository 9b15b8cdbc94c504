"""When notifications reached each stage, for the page of the demo."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

from domain.identifiers import NotificationId

Stage: TypeAlias = Literal["accepted", "stored", "indexed"]
"""Durable in the queue; committed in the store; applied to the unread index and sent to live streams."""


class Stages(Protocol):
    """When recent notifications reached each stage. Any of it may be lost."""

    def note(self, stage: Stage, notifications: Iterable[NotificationId], at: datetime) -> None:
        """Note that these reached a stage; what was noted first stays. Returns at once, and never raises."""
        ...

    async def of(self, notification: NotificationId) -> Mapping[Stage, datetime]:
        """What is known of a notification."""
        ...
