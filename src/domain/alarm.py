"""Alarms: what is to be done to a notification at a time."""

from enum import StrEnum


class AlarmKind(StrEnum):
    """What is to be done."""

    WAKE = "wake"
    """Bring a snoozed notification back."""
