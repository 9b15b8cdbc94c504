"""`manage.py notify`, once a minute: sends what Bellwire did not get at once."""

from typing import Any

from django.core.management.base import BaseCommand

from posts.notifications import notify_of_comments


class Command(BaseCommand):
    help = "Publish every comment that Bellwire does not have yet."

    def handle(self, *_: Any, **__: Any) -> None:
        notify_of_comments()
