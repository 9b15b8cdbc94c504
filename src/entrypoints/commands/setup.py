"""What is made once: tables, partitions, topics, and in the demo a user and a key."""

import asyncio
from contextlib import suppress

from application.credentials import Scope
from application.errors import Unavailable
from domain.errors import UserTaken
from domain.identifiers import UserId
from entrypoints.container import Container, build
from entrypoints.settings import InvalidSettings, Settings

DEMO_USER = UserId("demo")
DEMO_EMAIL = "demo@bellwire.local"
DEMO_PASSWORD = "bellwire-demo"  # noqa: S105 - the demo's, and only where the demo is on
_DEMO_KEY = "bellwire demo"


def migrate(settings: Settings, revision: str = "head") -> None:
    """Bring the database and the topics up to date. Raises Unavailable."""
    container = build(settings)
    container.migrate_database()(settings.postgres_url, revision)
    asyncio.run(_prepare(container))


async def _prepare(container: Container) -> None:
    try:
        await container.maintenance().prepare()
        await container.ensure_topics()(container.settings().kafka_bootstrap, container.topics())
    finally:
        await container.maintenance().close()


async def demo_access(container: Container) -> dict[str, str]:
    """The demo user with a token, the position of its feed, and a producer's key.

    The key is BELLWIRE_DEMO_KEY, or a new one; other keys of the demo are revoked. Raises Unavailable, and
    InvalidSettings if BELLWIRE_DEMO_KEY was revoked.
    """
    if not container.settings().demo:
        raise Unavailable("The demo is off (BELLWIRE_DEMO).")
    with suppress(UserTaken):
        await container.create_user()("Demo", DEMO_EMAIL, DEMO_PASSWORD, DEMO_USER)
    now = container.clock()()
    api_key = await _demo_key(container)
    token, _ = container.tokens().mint(DEMO_USER, now)
    feed = await container.count_unread()(DEMO_USER)
    return {
        "user_id": DEMO_USER,
        "email": DEMO_EMAIL,
        "password": DEMO_PASSWORD,
        "api_key": api_key,
        "token": token,
        "cursor": str(feed.cursor),
    }


async def _demo_key(container: Container) -> str:
    given, keys, now = container.settings().demo_key, container.api_keys(), container.clock()()
    demo = [key for key in await keys.all() if key.name == _DEMO_KEY]
    kept = next((key for key in demo if given.split("_")[2:3] == [key.id]), None)
    for key in demo:
        if key is not kept and key.revoked_at is None:
            await keys.revoke(key.id, now)
    if kept is None:
        scopes = frozenset({Scope.PUBLISH, Scope.USERS})
        return (await container.create_api_key()(_DEMO_KEY, scopes, text=given or None))[1]
    if not kept.usable(now):
        raise InvalidSettings("BELLWIRE_DEMO_KEY: this key was revoked")
    return given
