"""Who is notified of what."""

import logging
from contextlib import suppress
from typing import Any

import httpx
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver

from posts import bell
from posts.models import Comment

log = logging.getLogger(__name__)

PENDING = (
    Comment.objects.filter(notified=False).select_related("author", "post__author").order_by("created_at")
)


def bell_id(user: Any) -> str:
    """A user's id in Bellwire: one that never changes, unlike a user name."""
    return f"user-{user.pk}"


def put_user(user: Any) -> None:
    """Repeating it costs little."""
    bell.put_user(bell_id(user), user.get_username())


@receiver(user_logged_in)
def logged_in(user: Any, **_: Any) -> None:
    with suppress(bell.Unavailable):
        put_user(user)


def notify_of_comments() -> None:
    """Publish every comment that Bellwire does not have yet.

    What fails here is sent with the next comment, or by `manage.py notify`.
    """
    try:
        for comment in PENDING.all():
            notify_of(comment)
    except bell.Unavailable as error:
        log.warning("Bellwire: %s", error)


def notify_of(comment: Comment) -> None:
    notification: dict[str, object] = {
        "user_id": bell_id(comment.post.author),
        "event": "comment.created",
        "title": f"New comment on “{comment.post.title}”",
        "message": comment.text,
        "actor": {"id": bell_id(comment.author), "name": comment.author.get_username()},
        "action_url": f"/#{comment.post.pk}",
    }
    try:
        put_user(comment.post.author)  # who may not have logged in since Bellwire was installed
        bell.publish(notification, key=f"comment-{comment.pk}")
    except httpx.HTTPStatusError as error:
        log.exception("Bellwire refuses comment %s: %s", comment.pk, error.response.text)
    Comment.objects.filter(pk=comment.pk).update(notified=True)
