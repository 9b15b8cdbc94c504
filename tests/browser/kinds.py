"""Notifications of every kind that has a look of its own."""

from bellwire_client import Action, Actor
from tests.browser.stage import Scene


async def one_of_each(scene: Scene) -> list[str]:
    """Publish them. Return the ids of the rows that they become, oldest first; of those that become one, the
    first, though another may stand for them.
    """
    actions = [
        Action(id="approve", label="Approve", style="primary"),
        Action(id="refuse", label="Refuse", style="danger"),
        Action(id="calendar", label="Calendar", url="/calendar"),
    ]
    people = [Actor(name=name) for name in ("Ada Lovelace", "Edsger Dijkstra", "Grace Hopper")]
    ids = [
        await scene.publish(
            "Version 7 is out since this morning, for everybody who asked for it.",
            event="release.published",
            title="Version 7",
            severity="success",
            action_url="/releases/7",
        ),
        await scene.publish("The disk of db-2 is nearly full", event="host.disk", severity="warning"),
        await scene.publish(
            "The payment of invoice 2026-118 was refused by your bank",
            event="billing.failed",
            title="Payment refused",
            severity="critical",
            action_url="/billing/118",
        ),
        await scene.publish(
            "asks for leave from 22 to 28 December",
            event="leave.asked",
            actor=people[2],
            actions=actions,
        ),
    ]
    likes = [
        await scene.publish("liked your post", event="post.liked", actor=person, collapse_key="post:7")
        for person in people
    ]
    return [*ids, likes[0]]
