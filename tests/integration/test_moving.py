"""Users who move to another installation: everything of theirs goes with them, whatever is cut off."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters import clock as system
from application.audit import Action, ActorKind, By, Entry
from application.errors import Refused
from application.lines import Kind, Line
from common import lines
from domain.identifiers import UserId
from domain.states import Mark
from entrypoints.container.moving import MovingContainer
from entrypoints.container.parts import base
from entrypoints.settings import Settings
from tests.build import ADA, BOB, a_draft, a_user, an_id, drafts
from tests.conftest import Databases, as_read, installation
from tests.product import Stores
from tests.whole import build
from workbench.embedded import EmbeddedServers
from workbench.soak.product import SOURCES

BY = By(ActorKind.CLI, "root")
CAROL = UserId("carol")
EVERYTHING = {
    "users": "SELECT to_jsonb(u)::text FROM users AS u ORDER BY id",
    "feeds": "SELECT (to_jsonb(f) - 'epoch')::text FROM feeds AS f ORDER BY user_id",
    "notifications": "SELECT to_jsonb(n)::text FROM notifications AS n ORDER BY user_id, id",
    "withheld": "SELECT to_jsonb(w)::text FROM withheld AS w ORDER BY user_id, id",
    "alarms": "SELECT to_jsonb(a)::text FROM alarms AS a ORDER BY user_id, id, kind",
    "categories": "SELECT to_jsonb(c)::text FROM categories AS c ORDER BY id",
}


class Installation:
    """One of two, without processes."""

    def __init__(self, settings: Settings, environment: Mapping[str, str], stores: Stores) -> None:
        self.settings, self.environment, self.stores = settings, environment, stores
        self.whole = build(settings)
        self.moving = base.build(MovingContainer, settings)

    async def close(self) -> None:
        for container in (self.whole, self.moving):
            await container.redis_server().close()
            await container.engine().dispose()
        await self.moving.patient_engine().dispose()

    async def everything(self) -> dict[str, list[Any]]:
        return {
            name: [json.loads(row[0]) for row in await self.stores.postgres.fetch(query)]
            for name, query in EVERYTHING.items()
        }

    async def export(self, prefix: str = "", after: UserId | None = None) -> list[bytes]:
        return [lines.write(line) async for line in self.moving.export_users()(BY, prefix, after)]

    async def take(self, export: list[bytes]) -> dict[str, str]:
        importing = self.moving.import_users()(lines.read(export), BY)
        return {moved.user: moved.outcome async for moved in importing}


@pytest.fixture
async def pair(
    servers: EmbeddedServers, databases: Databases, template: str, name: str
) -> AsyncIterator[tuple[Installation, Installation]]:
    """The one that users leave, and the one they enter. Both are migrated."""
    urls = [databases.create(template=template) for _ in range(2)]
    environments = [installation(servers, url, f"{name}-{n}") for n, url in enumerate(urls)]
    settings = [as_read(environment) for environment in environments]
    async with Stores.open(settings[0]) as first, Stores.open(settings[1]) as second:
        old, new = map(Installation, settings, environments, (first, second))
        yield old, new
        await old.close()
        await new.close()
    for url in urls:
        databases.drop(url)


@pytest.fixture
async def old(pair: tuple[Installation, Installation]) -> Installation:
    """Ada has something in every state; Bob has much; Carol has nothing."""
    one = pair[0]
    users, feeds = one.whole.users(), one.whole.feeds()
    await users.add(a_user(ADA, email="ada@example.com"), "a hash of her password")
    for user in (BOB, CAROL):
        await users.add(a_user(user), None)
    await one.whole.categories().enter(["comment", "digest"])
    await one.whole.preferences().choose(ADA, {"digest": False})
    now = system.now()
    some = [
        a_draft(n, ADA, at=now, message=f'\u00fcber \\ "{n}"', metadata={"n": n, "big": 10**40}, title="T")
        for n in range(1, 7)
    ]
    await feeds.append([*some, a_draft(9, ADA, at=now, category="digest")], now)
    marks = {Mark.READ: 1, Mark.ARCHIVED: 2, Mark.SEEN: 3}
    for mark, n in marks.items():
        await feeds.mark(ADA, mark, [an_id(n, now)], now)
    await feeds.mark(ADA, Mark.SNOOZED, [an_id(4, now)], now + timedelta(hours=1))
    await feeds.retract(ADA, an_id(5, now), now)
    await feeds.append(drafts(1_200, BOB), now)
    return one


@pytest.fixture
def new(pair: tuple[Installation, Installation]) -> Installation:
    return pair[1]


async def test_everything_of_users_moves(old: Installation, new: Installation) -> None:
    there = await old.everything()
    assert [len(there[name]) for name in ("notifications", "withheld", "alarms")] == [1206, 1, 1]

    export = await old.export()
    assert await new.take(export) == {"ada": "imported", "bob": "imported", "carol": "imported"}

    here = await new.everything()
    for name, rows in there.items():
        assert here[name] == rows, name
    epochs = "SELECT user_id, epoch FROM feeds"
    before, after = [dict(await one.stores.postgres.fetch(epochs)) for one in (old, new)]
    assert not set(before.values()) & set(after.values())
    assert await new.stores.broken_feeds() == []
    count = "SELECT count(*) FROM audit WHERE action = $1"
    assert await old.stores.postgres.fetchval(count, "user.exported") == 3
    assert await new.stores.postgres.fetchval(count, "user.imported") == 3


async def test_a_second_import_changes_nothing(old: Installation, new: Installation) -> None:
    export = await old.export()
    await new.take(export)
    await new.whole.feeds().mark(BOB, Mark.READ, [an_id(1)], system.now())
    there = await new.everything()

    assert set((await new.take(export)).values()) == {"present"}
    assert await new.everything() == there


async def test_an_export_that_was_cut_off_is_imported_up_to_there(
    old: Installation, new: Installation
) -> None:
    export = await old.export()
    ends = [n for n, line in enumerate(export) if b'"user-end"' in line]

    with pytest.raises(Refused, match="cut off"):
        await new.take(export[: ends[1] - 100])  # in the middle of Bob
    assert {row["id"] for row in (await new.everything())["users"]} == {"ada"}
    assert len((await new.everything())["notifications"]) == 6

    rest = await old.export(after=ADA)
    assert await new.take(rest) == {"bob": "imported", "carol": "imported"}
    assert (await new.everything())["notifications"] == (await old.everything())["notifications"]


async def test_only_a_tenant_moves(old: Installation, new: Installation) -> None:
    assert await new.take(await old.export(prefix="b")) == {"bob": "imported"}


async def test_a_user_who_was_erased_on_either_side_does_not_come_back(
    old: Installation, new: Installation
) -> None:
    await old.whole.erasures().begin(CAROL, Entry(BY, Action.USER_ERASED, CAROL), reusable=False)
    await new.whole.users().add(a_user(BOB), None)
    await new.whole.erasures().begin(BOB, Entry(BY, Action.USER_ERASED, BOB), reusable=False)

    outcome = await new.take(await old.export())

    assert outcome == {
        "ada": "imported",
        "bob": "A user with this id was erased; the id cannot be used again.",
    }
    rows = (await new.everything())["notifications"]
    assert {row["user_id"] for row in rows} == {"ada"}


async def test_an_address_that_another_user_has_is_told(old: Installation, new: Installation) -> None:
    await new.whole.users().add(a_user(UserId("lovelace"), email="ada@example.com"), None)

    outcome = await new.take(await old.export())

    assert outcome["ada"] == "The e-mail address is that of another user."
    assert outcome["bob"] == "imported"


async def test_each_user_is_of_one_moment_while_others_write(old: Installation, new: Installation) -> None:
    """What is written behind a user's lines stays behind; what is imported is whole all the same."""
    feeds = old.whole.feeds()
    export: list[bytes] = []
    async for line in old.moving.export_users()(BY):
        export.append(lines.write(line))
        if line.kind is Kind.FEED:
            await feeds.append(drafts(5, BOB, first=2_000 + len(export)), system.now())

    assert await new.take(export) == {"ada": "imported", "bob": "imported", "carol": "imported"}

    assert await new.stores.broken_feeds() == []
    assert len((await new.everything())["notifications"]) == 6 + 1_200 + 5


async def test_a_user_who_is_created_just_in_time_meanwhile_waits_for_the_import(
    old: Installation, new: Installation
) -> None:
    export = await old.export(prefix="bob")
    creating: list[asyncio.Task[frozenset[UserId]]] = []

    def read() -> Iterator[Line]:
        for line in lines.read(export):
            if line.kind is Kind.NOTIFICATION and not creating:
                create = new.whole.missing_users().create({BOB}, system.now())
                creating.append(asyncio.ensure_future(create))
            yield line

    moved = [one.outcome async for one in new.moving.import_users()(read(), BY)]

    assert (moved, await creating[0]) == (["imported"], frozenset())
    assert len((await new.everything())["notifications"]) == 1_200
    assert await new.stores.broken_feeds() == []


async def test_what_redis_holds_of_an_earlier_user_is_dropped(old: Installation, new: Installation) -> None:
    key = f"{new.settings.redis_prefix}:feed:{{bob}}"
    await new.stores.redis.hset(key, mapping={"e": "earlier", "v": "7", "n": "0"})
    assert await new.stores.indexed() == 1

    await new.take(await old.export(prefix="bob"))

    assert await new.stores.indexed() == 0


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda export: export[1:], "does not begin"),
        (lambda export: [export[0].replace(b'"0009"', b'"0001"'), *export[1:]], "its schema is 0001"),
        (lambda export: [*export[:4], b"{", *export[4:]], "line 5"),
        (lambda export: [line.replace(b'"user_id":"bob"', b'"user_id":"ada"') for line in export], "another"),
        (lambda export: [line for n, line in enumerate(export) if n != 40], "rows"),
        (lambda export: export[:-1], "cut off"),
        (lambda export: [*export[:-1], b'{"type":"end","count":9}'], "last line says 9"),
    ],
)
async def test_a_damaged_export_is_refused(
    old: Installation, new: Installation, damage: Callable[[list[bytes]], list[bytes]], said: str
) -> None:
    export = await old.export()
    with pytest.raises(Refused, match=said):
        await new.take(damage(export))
    assert await new.stores.broken_feeds() == []


async def test_the_commands_are_piped(old: Installation, new: Installation, tmp_path: Path) -> None:
    file = tmp_path / "users.jsonl"

    def run(one: Installation, *words: str) -> subprocess.CompletedProcess[bytes]:
        environment = {"PATH": "", **one.environment, "PYTHONPATH": str(SOURCES)}
        command = [sys.executable, "-m", "bellwire", *words]
        return subprocess.run(command, env=environment, capture_output=True, check=False)

    exported = await asyncio.to_thread(run, old, "export-users")
    assert (exported.returncode, exported.stderr) == (0, b"")
    file.write_bytes(exported.stdout)

    imported = await asyncio.to_thread(run, new, "import-users", str(file), "--json")
    assert json.loads(imported.stdout) == {"imported": 3, "present": 0, "refused": 0}, imported.stderr
    cut = tmp_path / "cut.jsonl"
    cut.write_bytes(exported.stdout[: len(exported.stdout) // 2])
    again = await asyncio.to_thread(run, new, "import-users", str(cut))
    assert (again.returncode, b"no export that can be imported" in again.stderr) == (1, True), again.stderr
