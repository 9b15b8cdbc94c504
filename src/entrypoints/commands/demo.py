"""`bellwire demo-access`: a user and a key to try things out with."""

import argparse
from contextlib import suppress

from application.credentials import Scope
from application.errors import Unavailable
from common import wire
from domain.errors import UserTaken
from domain.identifiers import UserId
from entrypoints.commands.account import by_account
from entrypoints.commands.running import on_postgres
from entrypoints.container.demo import DemoContainer
from entrypoints.demo_users import DEMO_USER, DEMO_USERS, OTHER_USER
from entrypoints.settings import InvalidSettings

DEMO_PASSWORD = "bellwire-demo"  # noqa: S105 - the demo's, and only where the demo is on
_DEMO_KEY = "bellwire demo"


def demo_access(parser: argparse.ArgumentParser) -> None:
    """Create the demo's user and key, and print them."""
    parser.set_defaults(run=_run)


def _run(_arguments: argparse.Namespace) -> None:
    print(wire.text(on_postgres(DemoContainer, demo_access_of)))


async def demo_access_of(container: DemoContainer) -> dict[str, str]:
    """The demo user with a token and the position of its feed, a producer's key, and the other user.

    The key is BELLWIRE_DEMO_KEY, or a new one; other keys of the demo are revoked. Raises Unavailable, and
    InvalidSettings if BELLWIRE_DEMO_KEY was revoked or is of another environment.
    """
    if not container.settings().demo:
        raise Unavailable("The demo is off (BELLWIRE_DEMO).")
    for user, name in DEMO_USERS.items():
        with suppress(UserTaken):
            await container.create_user()(name, _email(user), DEMO_PASSWORD, user, by=by_account())
    api_key = await _key(container)
    now = container.clock()()
    token, other = (container.tokens().mint(user, now)[0] for user in (DEMO_USER, OTHER_USER))
    feed = await container.feeds().feed(DEMO_USER)
    return {
        "user_id": DEMO_USER,
        "email": _email(DEMO_USER),
        "password": DEMO_PASSWORD,
        "api_key": api_key,
        "token": token,
        "cursor": str(feed.cursor),
        "other_user_id": OTHER_USER,
        "other_token": other,
    }


def _email(user: UserId) -> str:
    return f"{user}@bellwire.local"


async def _key(container: DemoContainer) -> str:
    given, keys, now = container.settings().demo_key, container.api_keys(), container.clock()()
    _, environment, key_id = given.split("_")[:3] if given else ("", "", "")
    if given and environment != container.settings().environment:
        raise InvalidSettings("BELLWIRE_DEMO_KEY: its second part must be BELLWIRE_ENVIRONMENT")
    demo = [key for key in await keys.all() if key.name == _DEMO_KEY]
    kept = next((key for key in demo if key.id == key_id), None)
    for key in demo:
        if key is not kept and key.revoked_at is None:
            await container.revoke_api_key()(key.id, actor=by_account())
    if kept is None:
        scopes = frozenset({Scope.PUBLISH, Scope.USERS})
        return (await container.create_api_key()(_DEMO_KEY, scopes, text=given or None, actor=by_account()))[
            1
        ]
    if not kept.usable(now):
        raise InvalidSettings("BELLWIRE_DEMO_KEY: this key was revoked")
    return given
