"""What a notification may carry beside its text."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who did what a notification is about."""

    name: str
    id: str | None = None
    avatar_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A button. One without a URL is answered to the producer."""

    id: str
    label: str
    url: str | None = None
    style: str = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rich:
    """How a notification is shown."""

    severity: str = "info"
    image_url: str | None = None
    icon: str | None = None
    actions: tuple[Action, ...] = ()


PLAIN = Rich()
