"""`bellwire demo-access`: a user and a key to try things out with."""

import argparse
from contextlib import suppress

from application.credentials import Scope
from application.errors import Unavailable
from common import wire
from domain.errors import UserTaken
from domain.identifiers import UserId
from entrypoints.commands.running import on_postgres
from entrypoints.container.demo import DemoContainer

DEMO_USER = UserId("demo")
DEMO_EMAIL = "demo@bellwire.local"
DEMO_PASSWORD = "bellwire-demo"  # noqa: S105 - the demo's, and only where the demo is on
_DEMO_KEY = "bellwire demo"


def demo_access(parser: argparse.ArgumentParser) -> None:
    """Make the demo's user and key, and print them."""
    parser.set_defaults(run=_run)


def _run(_arguments: argparse.Namespace) -> None:
    print(wire.text(on_postgres(DemoContainer, _access)))


async def _access(container: DemoContainer) -> dict[str, str]:
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
