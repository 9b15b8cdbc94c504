"""Erasing, exporting, new passwords and the audit trail, on ports in memory."""

import asyncio
import csv
import io
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from adapters.kafka.topics import longest_of
from adapters.security.forms import PrecisForms
from adapters.security.hashes import keyed_user_hash
from adapters.security.tokens import JwtTokens
from application.accounts import CreateUser, LogIn
from application.audit import Action, ActorKind, By, Entry, Recorded
from application.credentials import Claims, Scope
from application.delivery import MarkDue, StoreNotifications
from application.erasing import ContinueErasures, EraseUser
from application.errors import Limited, NotAuthenticated, Unavailable, UnknownErasure
from application.exporting import Busy, ExportUser
from application.exports import Exported, ExportedUser, ExportEnd
from application.failed_log_ins import FailedLogIns
from application.keys import CreateApiKey, RevokeApiKey, RotateApiKey
from application.log_ins import LocalLogInAttempts
from application.passwords import ChangePassword, ResetPassword
from application.revoking import DisableUser, Revocations, RevokeTokens
from domain.errors import Invalid, UnknownUser, UserTaken
from domain.identifiers import UserId
from domain.notification import Notification
from domain.rates import Patience
from domain.states import Mark
from entrypoints.commands.audit import _cells, _print_csv
from entrypoints.commands.output import Output
from tests.build import ADA, BOB, NOW, TestClock, TestSeconds, a_draft, a_user, an_id, drafts
from tests.memory import (
    MemoryApiKeys,
    MemoryAudit,
    MemoryErasures,
    MemoryExports,
    MemoryFeeds,
    MemoryPasswords,
    MemoryRevokedTokens,
    MemoryTokens,
    MemoryUsers,
)
from tests.wiring import Service

BY = By(ActorKind.KEY, "k1", "192.0.2.1", "r1")
OWN = By(ActorKind.USER, ADA, "192.0.2.1")


class Index:
    """The part of the unread index that an erasure needs."""

    def __init__(self) -> None:
        self.erased: list[UserId] = []
        self.away = False

    async def erase(self, user: UserId) -> None:
        if self.away:
            raise Unavailable
        self.erased.append(user)


@dataclass
class World:
    clock: TestClock = field(default_factory=TestClock)
    index: Any = field(default_factory=Index)

    def __post_init__(self) -> None:
        self.users = MemoryUsers(self.clock)
        self.feeds = MemoryFeeds(self.users)
        self.erasures = MemoryErasures(self.users, self.feeds, self.clock)
        self.exports = MemoryExports(self.users, self.feeds)
        self.audit = MemoryAudit()
        self.passwords = MemoryPasswords()
        self.tokens = MemoryTokens()
        self.erase = EraseUser(erasures=self.erasures)
        self.carry_on = ContinueErasures(
            erasures=self.erasures, index=self.index, kafka_keeps=self._kafka_keeps
        )
        self.export = ExportUser(exports=self.exports, audit=self.audit)
        common: Any = {"users": self.users, "passwords": self.passwords, "forms": PrecisForms()}
        self.attempts = LocalLogInAttempts(Patience(3), None, TestSeconds())
        self.change = ChangePassword(tokens=self.tokens, clock=self.clock, attempts=self.attempts, **common)
        self.reset = ResetPassword(**common)
        self.failures = FailedLogIns(self.audit, entries=2, remembered=3)
        self.log_in = LogIn(tokens=self.tokens, clock=self.clock, failures=self.failures, **common)
        self.create = CreateUser(clock=self.clock, new_user_id=lambda: UserId("made-up"), **common)

    async def _kafka_keeps(self) -> timedelta | None:
        return timedelta(days=37)

    async def add(self, user: UserId, count: int = 0) -> None:
        await self.users.add(a_user(user), None)
        await self.feeds.append(drafts(count, user))


@pytest.fixture
async def world() -> World:
    made = World()
    await made.add(ADA, 5)
    await made.add(BOB, 3)
    return made


# --- erasing ---


async def test_an_erasure_takes_everything_of_the_user_and_of_nobody_else(world: World) -> None:
    begun = await world.erase(ADA, BY)
    assert (begun.user_id, begun.finished_at, begun.deleted) == (ADA, None, {"users": 1})
    assert ADA not in world.users.held

    assert await world.carry_on() == 1

    done = await world.erasures.get(begun.id)
    assert done.deleted == {"users": 1, "notifications": 5}
    assert (done.user_id, done.finished_at) == (None, NOW)
    assert done.kafka_until == NOW + timedelta(days=37)
    assert world.index.erased == [ADA]
    assert not world.feeds.holds(ADA)
    assert len(world.feeds.everything(BOB)) == 3
    assert await world.carry_on() == 0
    assert [entry.action for entry in world.users.audited] == [Action.USER_ERASED, Action.ERASURE_FINISHED]
    assert world.users.audited[0] == Entry(BY, Action.USER_ERASED, ADA, {"forget": False})


async def test_it_is_not_finished_before_every_process_has_noticed_and_redis_has_forgotten(
    world: World,
) -> None:
    begun = await world.erase(ADA, BY)
    world.erasures.settling = True
    assert await world.carry_on() == 0
    assert not world.feeds.holds(ADA)

    world.erasures.settling, world.index.away = False, True
    with pytest.raises(Unavailable):
        await world.carry_on()
    assert (await world.erasures.get(begun.id)).finished_at is None

    world.index.away = False
    assert await world.carry_on() == 1


async def test_to_erase_again_is_the_same_erasure_and_nobody_cannot_be_erased(world: World) -> None:
    begun = await world.erase(ADA, BY)

    assert (await world.erase(ADA, BY)).id == begun.id
    with pytest.raises(UnknownUser):
        await world.erase(UserId("nobody"), BY)
    with pytest.raises(UnknownErasure):
        await world.erasures.get(an_id())


async def test_an_erased_id_is_used_again_only_after_forgetting(world: World) -> None:
    await world.erase(ADA, BY)
    await world.carry_on()
    with pytest.raises(UserTaken):
        await world.create("Ada", None, None, ADA, by=BY)

    await world.erase(ADA, BY, forget=True)
    assert (await world.create("Ada", None, None, ADA, by=BY)).id == ADA


async def test_late_records_are_dropped_and_neither_stored_nor_refused(world: World) -> None:
    await world.erase(ADA, BY)
    store = StoreNotifications(feeds=world.feeds, announcer=_Deaf(), clock=world.clock)

    stored = await store([a_draft(9), a_draft(10, BOB), a_draft(11, UserId("nobody"))])

    assert [draft.id for draft in stored.appended.erased] == [an_id(9)]
    assert [draft.id for draft in stored.appended.unknown] == [an_id(11)]
    assert stored.refused == ()


async def test_a_batch_that_is_halved_keeps_what_was_erased(world: World) -> None:
    await world.erase(ADA, BY)
    world.feeds.refused = {an_id(10)}
    store = StoreNotifications(feeds=world.feeds, announcer=_Deaf(), clock=world.clock)

    stored = await store([a_draft(9), a_draft(10, BOB)])

    assert [draft.id for draft in stored.appended.erased] == [an_id(9)]


async def test_an_expired_notification_of_an_erased_user_stops_nothing(world: World) -> None:
    soon = NOW + timedelta(seconds=1)
    await world.feeds.append([a_draft(20, expires_at=soon), a_draft(21, BOB, expires_at=soon)])
    await world.erase(ADA, BY)
    world.clock.advance(seconds=2)

    assert await MarkDue(feeds=world.feeds, announcer=_Deaf(), clock=world.clock)() == 1


async def test_an_erasure_revokes_the_tokens_until_then(world: World) -> None:
    revocations = Revocations(world.users, MemoryRevokedTokens(world.clock))
    token, _ = world.tokens.mint(ADA, world.clock())
    claims: Claims = world.tokens.verify(token, world.clock())
    world.clock.advance(seconds=1)
    await world.erase(ADA, BY)
    await revocations.refresh()

    assert revocations.is_revoked(claims)


class _Deaf:
    async def announce(self, changes: object) -> None:
        return


# --- exporting ---


async def exported(world: World, after: Any = None) -> list[Exported]:
    return [item async for item in world.export(ADA, BY, after)]


async def test_an_export_has_the_user_then_every_notification_in_any_state_then_the_counts(
    world: World,
) -> None:
    await world.feeds.mark(ADA, Mark.ARCHIVED, [an_id(2)], NOW)
    await world.feeds.mark(ADA, Mark.RETRACTED, [an_id(3)], NOW)

    first, *items, last = await exported(world)

    assert isinstance(first, ExportedUser)
    assert first.user.id == ADA
    assert [item.id for item in items if isinstance(item, Notification)] == [an_id(n) for n in range(1, 6)]
    assert last == ExportEnd(users=1, notifications=5, withheld=0, snapshots=1)
    assert world.audit.entries == [Entry(BY, Action.USER_EXPORTED, ADA)]
    assert world.exports.closed == 1


async def test_when_a_snapshot_is_lost_the_export_goes_on_where_it_was_with_another(world: World) -> None:
    world.exports.breaks_after = [1, 1]

    _, *items, last = await exported(world)

    assert [item.id for item in items if isinstance(item, Notification)] == [an_id(n) for n in range(1, 6)]
    assert last == ExportEnd(users=1, notifications=5, withheld=0, snapshots=3)


async def test_a_store_that_is_away_ends_the_export(world: World) -> None:
    world.exports.breaks_after = [1, 0]

    with pytest.raises(Unavailable):
        await exported(world)


async def test_an_export_that_was_cut_off_is_continued(world: World) -> None:
    _, *items, last = await exported(world, an_id(3))

    assert [item.id for item in items if isinstance(item, Notification)] == [an_id(4), an_id(5)]
    assert last == ExportEnd(users=1, notifications=2, withheld=0, snapshots=1)


async def test_a_process_makes_two_exports_at_a_time_and_says_so_to_the_third(world: World) -> None:
    running = [world.export(ADA, BY) for _ in range(2)]
    async with asyncio.timeout(30):  # it would wait
        for one in running:
            await anext(one)
        with pytest.raises(Busy):
            await anext(world.export(BOB, BY))

        await running[0].aclose()
        await anext(world.export(BOB, BY))
        await running[1].aclose()


# --- passwords ---


async def test_a_user_who_knows_its_password_changes_it_and_is_signed_out_elsewhere(world: World) -> None:
    await world.create("Cid", "cid@example.com", "correct horse", UserId("cid"), by=BY)
    _, old, _ = await world.log_in("cid@example.com", "correct horse")
    world.clock.advance(seconds=1)

    token, seconds = await world.change(UserId("cid"), OWN, "correct horse", "battery staple")

    revocations = Revocations(world.users, MemoryRevokedTokens(world.clock))
    await revocations.refresh()
    assert seconds == 3600
    assert revocations.is_revoked(world.tokens.verify(old, world.clock()))
    assert not revocations.is_revoked(world.tokens.verify(token, world.clock()))
    with pytest.raises(NotAuthenticated):
        await world.log_in("cid@example.com", "correct horse")
    await world.log_in("cid@example.com", "battery staple")
    assert world.users.audited[-1] == Entry(OWN, Action.PASSWORD_CHANGED, UserId("cid"))


@pytest.mark.parametrize("skew", [0, 60])
@pytest.mark.parametrize("ahead", [-5, 0, 0.5, 5])
async def test_a_new_token_is_good_at_once_after_everybody_was_signed_out(skew: int, ahead: float) -> None:
    """Wherever the store's clock is, and however little the clocks of other issuers may be ahead."""
    world = World()
    world.users = MemoryUsers(lambda: world.clock() + timedelta(seconds=ahead))
    tokens = JwtTokens("s" * 32, "bellwire", timedelta(hours=1), skew=timedelta(seconds=skew))
    common: Any = {"users": world.users, "passwords": world.passwords, "forms": PrecisForms()}
    log_in = LogIn(tokens=tokens, clock=world.clock, **common)
    change = ChangePassword(tokens=tokens, clock=world.clock, attempts=world.attempts, **common)
    create = CreateUser(clock=world.clock, new_user_id=lambda: UserId("made-up"), **common)
    revocations = Revocations(world.users, MemoryRevokedTokens(world.clock))
    await create("Cid", "cid@example.com", "correct horse", UserId("cid"), by=BY)

    async def is_good(token: str) -> bool:
        await revocations.refresh()
        return not revocations.is_revoked(tokens.verify(token, world.clock()))

    changed, _ = await change(UserId("cid"), OWN, "correct horse", "battery staple")
    assert await is_good(changed)
    await RevokeTokens(users=world.users)(UserId("cid"))
    assert await is_good((await log_in("cid@example.com", "battery staple"))[1])


async def test_who_logs_in_with_a_password_that_is_changed_meanwhile_is_signed_out(world: World) -> None:
    await world.create("Cid", "cid@example.com", "correct horse", UserId("cid"), by=BY)

    class Slow(MemoryPasswords):
        async def verify(self, *given: Any, **more: Any) -> bool:
            world.clock.advance(seconds=1)
            await world.reset(UserId("cid"), BY, "battery staple")
            world.clock.advance(seconds=1)
            return await super().verify(*given, **more)

    slow = replace(world.log_in, passwords=Slow())
    _, token, _ = await slow("cid@example.com", "correct horse")

    revocations = Revocations(world.users, MemoryRevokedTokens(world.clock))
    await revocations.refresh()
    assert revocations.is_revoked(world.tokens.verify(token, world.clock()))


@pytest.mark.parametrize(
    ("current", "new", "broken"),
    [
        ("wrong horse", "battery staple", "current_password"),
        ("", "battery staple", "current_password"),
        ("correct horse", "short", "password"),
    ],
)
async def test_a_wrong_password_changes_nothing(world: World, current: str, new: str, broken: str) -> None:
    await world.create("Cid", "cid@example.com", "correct horse", UserId("cid"), by=BY)
    before = len(world.users.audited)

    with pytest.raises(Invalid) as refused:
        await world.change(UserId("cid"), OWN, current, new)

    assert [error.field for error in refused.value.errors] == [broken]
    assert len(world.users.audited) == before
    await world.log_in("cid@example.com", "correct horse")


async def test_whoever_has_a_token_cannot_try_many_passwords(world: World) -> None:
    await world.create("Cid", "cid@example.com", "correct horse", UserId("cid"), by=BY)
    for _ in range(3):
        with pytest.raises(Invalid):
            await world.change(UserId("cid"), OWN, "wrong horse", "battery staple")

    with pytest.raises(Limited):
        await world.change(UserId("cid"), OWN, "correct horse", "battery staple")


async def test_a_user_without_a_password_cannot_change_it(world: World) -> None:
    with pytest.raises(Invalid):
        await world.change(ADA, OWN, "correct horse", "battery staple")


async def test_a_password_that_was_changed_meanwhile_is_not_changed_again(world: World) -> None:
    await world.create("Cid", "cid@example.com", "correct horse", UserId("cid"), by=BY)
    other = ChangePassword(
        users=world.users,
        passwords=_Racing(world),
        forms=PrecisForms(),
        tokens=world.tokens,
        clock=world.clock,
        attempts=world.attempts,
    )
    with pytest.raises(Invalid):
        await other(UserId("cid"), OWN, "correct horse", "battery staple")


class _Racing(MemoryPasswords):
    def __init__(self, world: World) -> None:
        self._world = world

    async def hash(self, password: str, party: str = "") -> str:
        user, _ = self._world.users.held[UserId("cid")]
        if password == "battery staple":
            self._world.users.held[UserId("cid")] = user, "another"
        return await super().hash(password)


async def test_a_key_resets_a_password_without_knowing_it(world: World) -> None:
    await world.create("Cid", "cid@example.com", None, UserId("cid"), by=BY)

    await world.reset(UserId("cid"), BY, "battery staple")

    await world.log_in("cid@example.com", "battery staple")
    with pytest.raises(Invalid):
        await world.reset(ADA, BY, "battery staple")
    with pytest.raises(UnknownUser):
        await world.reset(UserId("nobody"), BY, "battery staple")


# --- the audit trail ---


async def test_what_changes_keys_and_users_is_recorded_and_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bellwire.audit")
    keys = MemoryApiKeys()
    create = CreateApiKey(keys=keys, clock=world.clock, new_token=lambda _: "ab", environment="test")
    revoke = RevokeApiKey(keys=keys, clock=world.clock)
    await create("shop", frozenset({Scope.PUBLISH}), actor=BY)
    rotate = RotateApiKey(keys=keys, clock=world.clock, new_token=lambda _: "cd", environment="test")
    await rotate("ab", timedelta(hours=1), actor=BY)
    assert await revoke("ab", actor=BY)
    assert not await revoke("ab", actor=BY)
    await DisableUser(users=world.users)(ADA, BY)

    made = {
        "name": "shop",
        "scopes": ["publish"],
        "user_prefix": None,
        "event_prefix": None,
        "own_only": False,
        "expires_at": None,
    }
    assert keys.audited == [
        Entry(BY, Action.KEY_CREATED, "ab", made),
        Entry(BY, Action.KEY_ROTATED, "ab", made | {"successor": "cd"}),
        Entry(BY, Action.KEY_REVOKED, "ab"),
    ]
    assert world.users.audited == [Entry(BY, Action.USER_DISABLED, ADA)]
    logged = [vars(record) for record in caplog.records if record.name == "bellwire.audit"]
    assert [(line["action"], line["target"], line["actor"], line["address"]) for line in logged] == [
        ("key.created", "ab", "k1", "192.0.2.1"),
        ("key.rotated", "ab", "k1", "192.0.2.1"),
        ("key.revoked", "ab", "k1", "192.0.2.1"),
        ("user.disabled", "ada", "k1", "192.0.2.1"),
    ]


async def test_what_fails_is_not_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bellwire.audit")
    world.users.away = True

    with pytest.raises(Unavailable):
        await DisableUser(users=world.users)(ADA, BY)

    assert world.users.audited == []
    assert caplog.records == []


async def test_a_sign_up_without_a_key_is_not_recorded(world: World) -> None:
    await world.create("Cid", None, None, UserId("cid"), by=By(ActorKind.USER, None, "192.0.2.9"))
    assert world.users.audited == []

    await world.create("Dan", None, None, UserId("dan"), by=BY)
    assert world.users.audited == [Entry(BY, Action.USER_CREATED, UserId("dan"))]


async def fail(world: World, email: str, address: str, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(NotAuthenticated):
            await world.log_in(email, "wrong horse", by=By(ActorKind.USER, None, address))


async def test_failed_log_ins_are_counted_by_account_and_address(world: World) -> None:
    await world.create("Cid", "cid@example.com", "correct horse", UserId("cid"), by=BY)
    await fail(world, "cid@example.com", "192.0.2.1", 3)
    await fail(world, "cid@example.com", "192.0.2.2", 2)
    assert world.audit.entries == []

    await world.failures.write()
    await world.failures.write()

    assert [(entry.target, entry.by.address, entry.detail) for entry in world.audit.entries] == [
        ("cid", "192.0.2.1", {"count": 3}),
        ("cid", "192.0.2.2", {"count": 2}),
    ]


async def test_an_attacker_fills_neither_the_trail_nor_memory_and_nothing_is_lost(world: World) -> None:
    for number in range(50):
        await fail(world, f"user{number}@example.com", f"192.0.2.{number}")
    assert len(world.failures._counts) == 3

    await world.failures.write()

    assert [entry.detail["count"] for entry in world.audit.entries] == [1, 1, 48]


async def test_a_log_in_does_not_wait_for_the_trail_and_what_was_counted_is_written_later(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.audit.away = True
    await fail(world, "cid@example.com", "192.0.2.1", 2)
    await world.failures.write()
    assert "failed log-ins were not recorded" in caplog.text

    world.audit.away = False
    await world.failures.write()
    assert [entry.detail for entry in world.audit.entries] == [{"count": 2}]


async def test_failed_log_ins_are_written_again_and_again(world: World) -> None:
    failures = FailedLogIns(world.audit, every_seconds=0.001)
    running = asyncio.create_task(failures.run())
    try:
        for expected in (1, 2):
            failures.add(ADA, BY)
            async with asyncio.timeout(60):
                while len(world.audit.entries) < expected:  # noqa: ASYNC110 - what it waits for has no event
                    await asyncio.sleep(0.001)
    finally:
        running.cancel()


def test_the_hash_of_a_user_depends_on_the_secret_alone() -> None:
    one = keyed_user_hash("a" * 32, "t" * 32)
    assert one(ADA) == keyed_user_hash("a" * 32, "other")(ADA)
    assert len({one(ADA), one(BOB), keyed_user_hash("", "t" * 32)(ADA), keyed_user_hash("", "u")(ADA)}) == 4


@pytest.mark.parametrize(
    ("configs", "longest"),
    [
        ([("604800000", "604800000"), ("2592000000", "604800000")], timedelta(days=37)),
        ([("604800000", "604800000"), ("-1", "604800000")], None),
        ([("604800000", "604800000"), (None, "604800000")], None),
        ([("9223372036854775807", "604800000")], None),
        ([], None),
    ],
)
def test_kafka_keeps_a_record_as_long_as_its_segment(
    configs: list[tuple[str | None, str]], longest: timedelta | None
) -> None:
    given = [{"retention.ms": retention, "segment.ms": segment} for retention, segment in configs]
    assert longest_of(given) == longest


def test_a_topic_that_does_not_say_makes_it_unknown() -> None:
    assert longest_of([{"retention.ms": "1"}]) is None


def recorded(**changes: Any) -> Recorded:
    fields: dict[str, Any] = {
        "id": an_id(),
        "at": NOW,
        "actor_kind": "key",
        "actor": "k1",
        "action": "user.erased",
        "target": "user:ab",
        "detail": {"forget": False},
        "address": None,
        "request_id": None,
    }
    return Recorded(**fields | changes)


def test_the_trail_is_printed_without_what_a_terminal_or_a_spreadsheet_would_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _print_csv([recorded(actor="=HYPERLINK(1)")])
    header, row = csv.reader(io.StringIO(capsys.readouterr().out))

    assert dict(zip(header, row, strict=True)) == {
        "at": NOW.isoformat(),
        "actor_kind": "key",
        "actor": "'=HYPERLINK(1)",
        "action": "user.erased",
        "target": "user:ab",
        "address": "",
        "request_id": "",
        "detail": '{"forget":false}',
        "id": str(an_id()),
    }
    Output(as_json=False).row(_cells(recorded(actor="\x1b[2J")), None)
    assert "\x1b" not in capsys.readouterr().out


# --- over HTTP ---


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service.run() as service:
        await service.add(ADA, BOB)
        await service.memory.feeds.append(drafts(3))
        yield service


def lines(response: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in response.text.splitlines()]


async def test_erase_over_http(service: Service) -> None:
    begun = await service.client.delete("/v1/users/ada", headers=service.producer)
    assert begun.status_code == 202
    assert begun.json()["status"] == "running"
    where = f"/v1/erasures/{begun.json()['id']}"
    assert (await service.client.get(where, headers=service.producer)).json() == begun.json()

    body = {"user_id": "ada", "event": "a.b", "message": "hello"}
    assert (
        await service.client.post("/v1/notifications", json=body, headers=service.producer)
    ).status_code == 404
    again = {"name": "Ada", "id": "ada"}
    taken = await service.client.post("/v1/users", json=again, headers=service.producer)
    assert (taken.status_code, taken.json()["type"]) == (409, "urn:bellwire:problem:user-taken")
    gone = await service.client.delete("/v1/users/nobody", headers=service.producer)
    assert (gone.status_code, gone.json()["type"]) == (404, "urn:bellwire:problem:unknown-user")
    none = await service.client.get(f"/v1/erasures/{an_id()}", headers=service.producer)
    assert (none.status_code, none.json()["type"]) == (404, "urn:bellwire:problem:unknown-erasure")
    entry = service.memory.users.audited[-1]
    assert (entry.by.kind, entry.action, entry.by.request_id) == (
        ActorKind.KEY,
        Action.USER_ERASED,
        begun.headers["X-Request-Id"],
    )


@pytest.mark.parametrize("who", ["owner", "key"])
async def test_export_over_http(service: Service, who: str) -> None:
    headers = service.bearer() if who == "owner" else service.producer

    response = await service.client.get("/v1/users/ada/export", headers=headers)

    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/x-ndjson")
    assert response.headers["Cache-Control"] == "no-store"
    first, *items, last = lines(response)
    assert (first["type"], first["user"]["id"]) == ("user", "ada")
    assert [item["notification"]["id"] for item in items] == [str(an_id(n)) for n in (1, 2, 3)]
    assert last == {"type": "end", "counts": {"users": 1, "notifications": 3, "withheld": 0}, "snapshots": 1}
    assert service.memory.audit.entries[0].by.kind == (ActorKind.USER if who == "owner" else ActorKind.KEY)


async def test_an_export_is_refused_before_it_begins(service: Service) -> None:
    nobody = await service.client.get("/v1/users/nobody/export", headers=service.producer)
    assert nobody.status_code == 404
    odd = await service.client.get("/v1/users/ada/export?after=x", headers=service.producer)
    assert odd.status_code == 422
    other = await service.client.get("/v1/users/ada/export", headers=service.bearer(BOB))
    assert other.status_code == 403


async def test_an_export_that_nobody_reads_any_more_is_ended(service: Service) -> None:
    began = asyncio.Event()
    kept: list[object] = []

    async def receive() -> Any:
        if not kept:
            kept.append("the request was read")
            return {"type": "http.request", "body": b"", "more_body": False}
        await began.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            kept.append(message)
            began.set()
            await asyncio.Event().wait()

    headers = [(name.lower().encode(), value.encode()) for name, value in service.producer.items()]
    path = "/v1/users/ada/export"
    scope: Any = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"bellwire.test"), *headers],
        "client": ("192.0.2.1", 1),
        "server": ("bellwire.test", 80),
        "scheme": "http",
        "http_version": "1.1",
        "extensions": {},
        "state": {},
    }
    async with asyncio.timeout(60):
        await service.app(scope, receive, send)

    assert service.memory.exports.closed == 1
    await asyncio.gather(*(anext(service.container.export_user()(ADA, BY)) for _ in range(2)))


@pytest.mark.parametrize(
    ("prefixes", "statuses"),
    [
        ({"user_prefix": "acme:"}, [403, 403, 403]),
        ({"user_prefix": "team-"}, [403, 403, 403]),
        ({"event_prefix": "billing."}, [403, 422, 202]),
    ],
)
async def test_a_limited_key_reaches_only_what_it_may(
    service: Service, prefixes: dict[str, str], statuses: list[int]
) -> None:
    given: Any = prefixes
    _, text = await service.container.create_api_key()("tenant", frozenset({Scope.USERS}), **given)
    key, body = {"X-API-Key": text}, {"new_password": "battery staple"}

    answers = [
        await service.client.get("/v1/users/ada/export", headers=key),
        await service.client.put("/v1/users/ada/password", json=body, headers=key),
        await service.client.delete("/v1/users/ada", headers=key),
    ]

    assert [answer.status_code for answer in answers] == statuses


async def test_a_password_over_http(service: Service) -> None:
    person = {"name": "Cid", "id": "cid", "email": "cid@example.com", "password": "correct horse"}
    await service.client.post("/v1/users", json=person, headers=service.producer)
    path, token = "/v1/users/cid/password", service.bearer(UserId("cid"))

    missing = await service.client.put(path, json={"new_password": "battery staple"}, headers=token)
    assert (missing.status_code, missing.json()["errors"][0]["field"]) == (422, "current_password")
    assert missing.headers["Cache-Control"] == "no-store"
    body = {"current_password": "correct horse", "new_password": "battery staple"}
    service.memory.clock.advance(seconds=1)
    changed = await service.client.put(path, json=body, headers=token)
    assert (changed.status_code, changed.json()["user_id"]) == (200, "cid")
    assert changed.headers["Cache-Control"] == "no-store"
    assert changed.json()["access_token"] not in token["Authorization"]
    reset = await service.client.put(path, json={"new_password": "third horse"}, headers=service.producer)
    assert (reset.status_code, reset.content) == (204, b"")
    other = await service.client.put(path, json=body, headers=service.bearer())
    assert other.status_code == 403


async def test_answers_with_secrets_are_not_stored(service: Service) -> None:
    person = {"name": "Cid", "id": "cid", "email": "cid@example.com", "password": "correct horse"}
    await service.client.post("/v1/users", json=person, headers=service.producer)
    log_in = {"email": "cid@example.com", "password": "correct horse"}
    answers = [
        await service.client.post("/v1/sessions", json=log_in),
        await service.client.post("/v1/sessions", json=log_in | {"password": "wrong horse"}),
        await service.client.post("/v1/sessions", content=b"{"),
        await service.client.post("/v1/sessions", json={}),
        await service.client.post("/v1/stream-tickets", headers=service.bearer()),
        await service.client.post("/v1/stream-tickets"),
    ]

    assert [answer.status_code for answer in answers] == [200, 401, 400, 422, 201, 401]
    assert {answer.headers.get("Cache-Control") for answer in answers} == {"no-store"}


async def test_the_trail_is_for_administrators(service: Service) -> None:
    assert (await service.client.get("/v1/audit", headers=service.producer)).status_code == 403
    _, key = await service.container.create_api_key()("admin", frozenset({Scope.ADMIN}))
    headers = {"X-API-Key": key}

    _, limited = await service.container.create_api_key()(
        "tenant", frozenset({Scope.ADMIN}), user_prefix="acme:"
    )
    refused = await service.client.get("/v1/audit", headers={"X-API-Key": limited})
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:bellwire:problem:not-allowed")
    listed = await service.client.get("/v1/audit", headers=headers)
    assert (listed.status_code, listed.json()) == (200, {"items": [], "next_cursor": None})
    assert listed.headers["Cache-Control"] == "no-store"
    for query in ("since=yesterday", "cursor=x", "limit=0"):
        assert (await service.client.get(f"/v1/audit?{query}", headers=headers)).status_code in {400, 422}


async def test_a_drain_is_recorded_once_and_does_not_need_the_store(service: Service) -> None:
    tokens = service.container.operator_tokens()
    assert tokens is not None
    token, _ = tokens.mint(UserId("operator"), service.memory.clock())
    headers = {"Authorization": f"Bearer {token}"}
    service.memory.audit.away = True
    assert (await service.client.post("/drain", headers=headers)).status_code == 200
    assert (await service.client.post("/drain", headers=headers)).json()["draining"] is True
    assert service.memory.audit.entries == []
