"""What a process is handed of its machine: time, ids and the JSON of a notification."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

from application.pages import Rendered
from domain.identifiers import NotificationId
from domain.notification import Notification

Clock: TypeAlias = Callable[[], datetime]
NewId: TypeAlias = Callable[[], NotificationId]
Render: TypeAlias = Callable[[Notification], Rendered]
