"""A consumer dies between storing and telling, or between the two transactions of storing, in the middle of
edits, retractions, groups and what nobody wants: it ends as if nothing had happened.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaProducer

from adapters.kafka.codec import encode
from adapters.postgres.rows import columns, read_notification
from domain.arrivals import Arrival
from domain.identifiers import NotificationId, UserId
from domain.notification import Draft, Notification, Retraction
from domain.rich import Actor
from tests.build import a_draft, an_id
from tests.integration.test_steps import failing_consumer
from tests.model.sequential import Sequential, as_row
from tests.product import Follower, Product, Stores, create_users, eventually

USERS = tuple(map(UserId, ("ada", "bob", "cid")))
ROUNDS = 20


def _arrivals(user: UserId, begin: datetime) -> Iterator[Arrival]:
    """What happens to a user. Ada does not want bills."""
    for number in range(0, ROUNDS * 10, 10):
        plain, edited, like, late, gone, bill, old = (
            a_draft(number + place, user, at=begin, message=f"message {number + place}") for place in range(7)
        )
        yield plain
        yield _with(bill, category="billing")
        yield replace(_with(edited, message="edited"), revision=2)
        yield edited
        yield _like(late, number + 1)
        yield _like(like, number)
        yield Retraction(user, gone.id)
        yield gone
        yield _with(old, expires_at=begin - timedelta(days=1))
        if number % 40 == 0:
            yield Retraction(user, plain.id)
        yield replace(plain, revision=1)


def _with(draft: Draft, **content: object) -> Draft:
    return replace(draft, content=replace(draft.content, **content))  # type: ignore[arg-type]


def _like(draft: Draft, number: int) -> Draft:
    return _with(draft, collapse_key="post", actor=Actor(name=f"user {number}"))


@pytest.mark.parametrize("step", ["halfway", "stored"])
async def test_a_consumer_that_dies_leaves_no_trace(product: Product, stores: Stores, step: str) -> None:
    api, begin = await product.api(), datetime.now(UTC) - timedelta(minutes=1)
    arrivals = {user: list(_arrivals(user, begin)) for user in USERS}
    async with api.client("ada") as client:
        await create_users(client, USERS)
        chosen = await client.put("/v1/users/ada/preferences", json={"categories": {"billing": False}})
        assert chosen.status_code == 200
    ada, bob, cid = followers = [api.follow(user) for user in USERS]
    async with ada, bob, cid:
        await _publish(
            product, [one for together in zip(*arrivals.values(), strict=True) for one in together]
        )
        failing = failing_consumer(product, step, "kill")
        await eventually(lambda: not failing.running, "it has died")
        assert failing.exit_code == -9, failing.log_tail()
        await product.consumer()

        for user, follower in zip(USERS, followers, strict=True):
            await eventually(lambda u=user: _has_all(stores, u, arrivals[u]), f"{user} has all")  # type: ignore[misc]
            visible = await _check_rows(stores, user, arrivals[user], begin)
            await eventually(lambda f=follower: _told_all(stores, f), f"{user} is told")  # type: ignore[misc]
            _check_told(follower, visible)
        assert not await stores.broken_feeds()
        await eventually(lambda: _agree(stores), "Redis and PostgreSQL agree")


async def _publish(product: Product, arrivals: Sequence[Arrival]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=product.settings.kafka_bootstrap, linger_ms=5)
    await producer.start()
    try:
        for one in arrivals:
            await producer.send(product.settings.kafka_topic, encode(one), key=one.user_id.encode())
        await producer.flush()
    finally:
        await producer.stop()


async def _rows(stores: Stores, user: UserId) -> Mapping[NotificationId, Notification]:
    query = f"SELECT {columns('n')} FROM notifications AS n WHERE user_id = $1"
    return {row["id"]: read_notification(row) for row in await stores.postgres.fetch(query, user)}


async def _withheld(stores: Stores, user: UserId) -> set[NotificationId]:
    return {
        row["id"] for row in await stores.postgres.fetch("SELECT id FROM withheld WHERE user_id = $1", user)
    }


async def _has_all(stores: Stores, user: UserId, arrivals: Sequence[Arrival]) -> bool:
    """The last one is an edit."""
    rows = await _rows(stores, user)
    last = rows.get(arrivals[-1].id)
    return last is not None and last.revision == 1


async def _check_rows(
    stores: Stores, user: UserId, arrivals: Sequence[Arrival], begin: datetime
) -> Mapping[NotificationId, Notification]:
    """Everything is stored or withheld, and shown as if it had come one by one. Returns what is shown."""
    model = Sequential(choices={"billing": False} if user == "ada" else {})
    for arrival in arrivals:
        model.take(arrival, begin)
    rows, withheld = await _rows(stores, user), await _withheld(stores, user)
    assert rows.keys() | withheld == {arrival.id for arrival in arrivals}
    assert not rows.keys() & withheld
    visible = {one: item for one, item in rows.items() if item.retracted_at is None}
    shown = {one: as_row(item, None) for one, item in visible.items()}
    assert {one: (row.message, row.revision, row.count, row.shown) for one, row in shown.items()} == {
        one: (row.message, row.revision, row.count, row.shown) for one, row in model.rows.items()
    }
    assert visible[an_id((ROUNDS - 1) * 10 + 3, begin)].group.count == 2 * ROUNDS
    return visible


async def _told_all(stores: Stores, follower: Follower) -> bool:
    return str(follower.cursor).endswith(f".{(await stores.versions())[follower.user]}")


def _check_told(follower: Follower, visible: Mapping[NotificationId, Notification]) -> None:
    """They know what is shown, and each version came once."""
    known = {one for one, state in follower.items.items() if state["retracted_at"] is None}
    assert known == set(map(str, visible))
    latest = {item["id"]: item for frame in follower.frames for item in frame.get("items", ())}
    for one, item in visible.items():
        assert (latest[str(one)]["message"], latest[str(one)]["version"]) == (item.message, item.version)
    assert not follower.holes
    assert not follower.resets


async def _agree(stores: Stores) -> bool:
    return not await stores.disagreements()
