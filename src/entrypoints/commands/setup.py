"""What is made once: tables, partitions, topics, and in the demo a user and a key."""

import asyncio
from contextlib import suppress

from application.credentials import Scope
from application.errors import Unavailable
from domain.errors import UserTaken
from domain.identifiers import UserId
from entrypoints.container import Container, build
from entrypoints.settings import Settings

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
    """The demo user with a token, and a fresh producer key; keys of earlier runs are revoked."""
    if not container.settings().demo:
        raise Unavailable("The demo is off (BELLWIRE_DEMO).")
    with suppress(UserTaken):
        await container.create_user()("Demo", DEMO_EMAIL, DEMO_PASSWORD, DEMO_USER)
    now = container.clock()()
    for key in await container.api_keys().all():
        if key.name == _DEMO_KEY and key.revoked_at is None:
            await container.api_keys().revoke(key.id, now)
    _, api_key = await container.create_api_key()(_DEMO_KEY, frozenset({Scope.PUBLISH, Scope.USERS}))
    token, _ = container.tokens().mint(DEMO_USER, now)
    return {
        "user_id": DEMO_USER,
        "email": DEMO_EMAIL,
        "password": DEMO_PASSWORD,
        "api_key": api_key,
        "token": token,
    }
