"""The producers' keys: who is admitted, what each may touch, and how keys are managed."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.credentials import SCOPES, ApiKey, Scope
from application.errors import KeyNotInUse, NotAllowed, NotAuthenticated, Unavailable, UnknownKey
from application.keys import (
    AuthenticateProducer,
    CreateApiKey,
    FindApiKey,
    ListApiKeys,
    RevokeApiKey,
    RotateApiKey,
    hash_secret,
)
from application.known_keys import KnownKeys
from domain.errors import Invalid
from domain.prefixes import EVENT_PREFIX, USER_PREFIX
from tests.build import LATER, NOW, TestClock, TestSeconds, an_api_key
from tests.memory import MemoryApiKeys

PUBLISH = frozenset({Scope.PUBLISH})
DAY = timedelta(days=1)


@dataclass
class Keys:
    clock: TestClock = field(default_factory=TestClock)
    seconds: TestSeconds = field(default_factory=TestSeconds)

    def __post_init__(self) -> None:
        self.keys = MemoryApiKeys(self.clock)
        making: dict[str, Any] = {
            "keys": self.keys,
            "clock": self.clock,
            "new_token": token_hex,
            "environment": "test",
        }
        self.create_key = CreateApiKey(**making)
        self.rotate = RotateApiKey(**making)
        self.revoke = RevokeApiKey(keys=self.keys, clock=self.clock)
        self.find = FindApiKey(keys=self.keys)
        self.list = ListApiKeys(keys=self.keys)
        self.known, self.producer = self.process()

    def process(self) -> tuple[KnownKeys, AuthenticateProducer]:
        """A process that serves these keys."""
        known = KnownKeys(self.keys, self.seconds)
        return known, AuthenticateProducer(known=known, clock=self.clock, environment="test")

    async def admin(self, **limits: Any) -> ApiKey:
        return (await self.create_key("Admin", SCOPES - {Scope.READ}, **limits))[0]


@pytest.fixture
def accounts() -> Keys:
    return Keys()


@pytest.fixture
def service() -> Keys:
    return Keys()


# --- who is admitted ---


async def test_a_key_admits_its_producer(accounts: Keys) -> None:
    key, text = await accounts.create_key("Billing", PUBLISH)

    assert await accounts.producer(text, Scope.PUBLISH) == key
    assert text.startswith(f"bw_test_{key.id}_")
    assert (key.name, key.scopes, key.created_at) == ("Billing", PUBLISH, NOW)


async def test_the_secret_is_kept_nowhere(accounts: Keys) -> None:
    key, text = await accounts.create_key("Billing", PUBLISH)
    secret = text.rpartition("_")[2]

    assert len(secret) == 64
    assert secret not in repr(accounts.keys._held)
    assert key.secret_hash == hash_secret(secret)


async def test_no_two_keys_are_alike(accounts: Keys) -> None:
    made = [(await accounts.create_key("k", PUBLISH))[1] for _ in range(5)]

    assert len(set(made)) == 5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bw",
        "___",
        "{secret}",
        "bw_{id}_{secret}",
        "xx_test_{id}_{secret}",
        "BW_test_{id}_{secret}",
        "bw_test_{id}_",
        "bw_test_{id}_{secret}0",
        "bw_test_{id}_{secret}_",
        "bw_test_{id}_0000000000000000000000000000000000000000000000000000000000000000",
        "bw_test_{id}_é",
        "bw_test_unknown_{secret}",
        "bw_test__{secret}",
        "bw_test_\x00_{secret}",
        "bw_live_{id}_{secret}",
        "bw__{id}_{secret}",
        "bw_TEST_{id}_{secret}",
    ],
)
async def test_what_is_no_key_admits_nobody(accounts: Keys, text: str) -> None:
    key, made = await accounts.create_key("Billing", PUBLISH)

    with pytest.raises(NotAuthenticated):
        await accounts.producer(text.format(id=key.id, secret=made.rpartition("_")[2]), Scope.PUBLISH)


async def test_a_key_reaches_what_its_scopes_say(accounts: Keys) -> None:
    _, text = await accounts.create_key("Billing", PUBLISH)

    with pytest.raises(NotAllowed, match="users"):
        await accounts.producer(text, Scope.USERS)


async def test_a_wrong_secret_learns_nothing_about_scopes(accounts: Keys) -> None:
    key, _ = await accounts.create_key("Billing", PUBLISH)

    with pytest.raises(NotAuthenticated):
        await accounts.producer(f"bw_test_{key.id}_{'0' * 64}", Scope.USERS)


async def test_a_revoked_key_admits_nobody(accounts: Keys) -> None:
    key, text = await accounts.create_key("Billing", PUBLISH)
    await accounts.keys.revoke(key.id, NOW)

    with pytest.raises(NotAuthenticated):
        await accounts.producer(text, Scope.PUBLISH)


@pytest.mark.parametrize(("at", "usable"), [(LATER - timedelta(microseconds=1), True), (LATER, False)])
async def test_a_key_is_good_until_it_expires(accounts: Keys, at: datetime, usable: bool) -> None:
    key, text = await accounts.create_key("Billing", PUBLISH, LATER)
    accounts.clock.at = at

    assert key.usable(at) is usable
    assert replace(key, revoked_at=NOW).usable(at) is False
    if usable:
        assert await accounts.producer(text, Scope.PUBLISH) == key
    else:
        with pytest.raises(NotAuthenticated):
            await accounts.producer(text, Scope.PUBLISH)


async def test_only_the_right_secret_counts_as_a_use(service: Keys) -> None:
    key, text = await service.create_key("Billing", PUBLISH)
    with pytest.raises(NotAuthenticated):
        await service.producer(f"bw_test_{key.id}_{'0' * 64}", Scope.PUBLISH)
    await service.known.store_uses()
    before = (await service.find(key.id)).last_used_at

    await service.producer(text, Scope.PUBLISH)
    await service.known.store_uses()

    assert (before, (await service.find(key.id)).last_used_at) == (None, NOW)


async def test_a_use_is_not_stored_on_the_way_and_at_most_once_a_minute(service: Keys) -> None:
    key, text = await service.create_key("Billing", PUBLISH)
    stored: list[datetime | None] = []
    for seconds in (0, 30, 29, 1):
        service.clock.advance(seconds=seconds)
        service.seconds.advance(seconds)
        await service.producer(text, Scope.PUBLISH)
        on_the_way = (await service.find(key.id)).last_used_at
        assert on_the_way == (stored[-1] if stored else None)
        await service.known.store_uses()
        stored.append((await service.find(key.id)).last_used_at)

    assert stored == [NOW, NOW, NOW, NOW + timedelta(minutes=1)]


async def test_a_use_that_cannot_be_stored_is_stored_later(service: Keys) -> None:
    key, text = await service.create_key("Billing", PUBLISH)
    await service.producer(text, Scope.PUBLISH)
    service.keys.away = True
    await service.known.store_uses()
    service.keys.away = False

    await service.known.store_uses()

    assert (await service.find(key.id)).last_used_at == NOW


# --- what a process knows ---


async def test_a_known_key_costs_no_lookup(service: Keys) -> None:
    _, text = await service.create_key("Billing", PUBLISH)
    await service.known.refresh()

    for _ in range(50):
        await service.producer(text, Scope.PUBLISH)

    assert service.keys.asked == 0


async def test_a_secret_that_was_compared_admits_no_other(service: Keys) -> None:
    _, text = await service.create_key("Backend", PUBLISH)
    await service.producer(text, Scope.PUBLISH)

    for wrong in (text[:-1], text + "0", text.replace("_test_", "_live_"), text.upper()):
        with pytest.raises(NotAuthenticated):
            await service.producer(wrong, Scope.PUBLISH)
    with pytest.raises(NotAllowed):
        await service.producer(text, Scope.ADMIN)


async def test_a_secret_that_was_compared_is_compared_again_once_its_key_has_changed(service: Keys) -> None:
    key, text = await service.create_key("Backend", PUBLISH)
    await service.producer(text, Scope.PUBLISH)
    service.keys._set(replace(key, secret_hash=hash_secret("another")))
    await service.known.refresh()

    with pytest.raises(NotAuthenticated):
        await service.producer(text, Scope.PUBLISH)


async def test_a_new_key_is_good_at_once_in_every_process(service: Keys) -> None:
    other, admit = service.process()
    await other.refresh()

    key, text = await service.create_key("Billing", PUBLISH)

    assert await admit(text, Scope.PUBLISH) == key


async def test_a_revoked_key_is_refused_with_the_next_refresh(service: Keys) -> None:
    other, admit = service.process()
    key, text = await service.create_key("Billing", PUBLISH)
    await other.refresh()
    await service.revoke(key.id)

    await admit(text, Scope.PUBLISH)
    await other.refresh()

    with pytest.raises(NotAuthenticated):
        await admit(text, Scope.PUBLISH)
    assert service.keys.asked == 1  # by the revocation


async def test_a_change_that_was_committed_late_is_noticed(service: Keys) -> None:
    key, text = await service.create_key("Billing", PUBLISH)
    service.clock.advance(seconds=59)
    await service.known.refresh()
    service.clock.advance(seconds=-59)
    await service.revoke(key.id)
    service.clock.advance(seconds=59)

    await service.known.refresh()

    with pytest.raises(NotAuthenticated):
        await service.producer(text, Scope.PUBLISH)


async def test_with_the_store_away_a_key_is_trusted_for_a_minute(service: Keys) -> None:
    key, text = await service.create_key("Billing", PUBLISH)
    await service.known.refresh()
    service.keys.away = True

    service.seconds.advance(59)
    await service.known.refresh()
    assert await service.producer(text, Scope.PUBLISH) == key
    service.seconds.advance(1.001)
    for _ in range(30):
        with pytest.raises(Unavailable):
            await service.producer(text, Scope.PUBLISH)

    service.keys.away = False
    await service.known.refresh()
    assert await service.producer(text, Scope.PUBLISH) == key


async def test_a_key_that_is_trusted_no_more_is_looked_up(service: Keys) -> None:
    key, text = await service.create_key("Billing", PUBLISH)
    await service.producer(text, Scope.PUBLISH)
    await service.keys.revoke(key.id, NOW)
    service.seconds.advance(60.001)

    with pytest.raises(NotAuthenticated):
        await service.producer(text, Scope.PUBLISH)


async def test_keys_that_nobody_has_cost_ten_lookups_a_second(service: Keys) -> None:
    _, text = await service.create_key("Billing", PUBLISH)
    await service.known.refresh()
    for n in range(500):
        with pytest.raises(NotAuthenticated):
            await service.producer(f"bw_test_{n:012}_{'0' * 64}", Scope.PUBLISH)
    first = service.keys.asked

    await service.producer(text, Scope.PUBLISH)
    service.seconds.advance(0.5)
    for n in range(500, 1000):
        with pytest.raises(NotAuthenticated):
            await service.producer(f"bw_test_{n:012}_{'0' * 64}", Scope.PUBLISH)

    assert 10 <= first < 15  # the clock runs
    assert 5 <= service.keys.asked - first < 10


async def test_a_new_key_is_looked_up_once_for_all_who_wait_and_good_for_each(service: Keys) -> None:
    """Or most of the first requests with it, if they come together, would be refused."""
    key, text = await service.create_key("Billing", PUBLISH)
    await service.known.refresh()
    service.known._known.clear()
    service.keys.asked = 0

    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(service.producer(text, Scope.PUBLISH)) for _ in range(100)]

    assert [task.result() for task in asking] == [key] * 100
    assert service.keys.asked == 1


async def test_a_key_that_nobody_has_is_looked_up_once_until_the_next_refresh(service: Keys) -> None:
    text = f"bw_test_{'a' * 12}_{'0' * 64}"
    for _ in range(2):
        for _ in range(50):
            with pytest.raises(NotAuthenticated):
                await service.producer(text, Scope.PUBLISH)
        await service.known.refresh()

    assert service.keys.asked == 2


@pytest.mark.parametrize("refreshed", [True, False])
async def test_with_the_store_away_nobody_is_told_that_a_key_is_unknown(
    service: Keys, refreshed: bool
) -> None:
    if refreshed:
        await service.known.refresh()
    service.keys.away = True
    await service.known.refresh()

    for n in range(50):
        with pytest.raises(Unavailable):
            await service.producer(f"bw_test_{n:012}_{'0' * 64}", Scope.PUBLISH)

    assert service.keys.asked < 15


async def test_that_keys_cannot_be_read_is_logged_once(
    service: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for away in (True, True, False, False):
        service.keys.away = away
        await service.known.refresh()

    assert [record.message for record in caplog.records] == [
        f"API keys cannot be read: {Unavailable()}",
        "API keys are read again",
    ]


# --- prefixes ---


@pytest.mark.parametrize("prefix", ["acme:", "a:", "acme:eu:", "acme-", "ac.me_", "9@x.", "a" * 63 + ":"])
async def test_a_prefix_ends_with_a_separator(service: Keys, prefix: str) -> None:
    key, _ = await service.create_key("Billing", PUBLISH, user_prefix=prefix)

    key.check(f"{prefix}ada")
    with pytest.raises(NotAllowed):
        key.check(f"{prefix[:-1]}x{prefix[-1]}ada")


@pytest.mark.parametrize(
    "prefix",
    ["", ":", "acme", "acme@", ":acme:", "acme :", "acme:\n", "äcme:", "acme/", "a" * 64 + ":", "a%:"],
)
async def test_what_is_no_prefix_is_refused(service: Keys, prefix: str) -> None:
    with pytest.raises(Invalid) as caught:
        await service.create_key("Billing", PUBLISH, user_prefix=prefix, event_prefix=prefix)

    assert {error.field for error in caught.value.errors} == {"user_prefix", "event_prefix"}
    assert await service.keys.all() == []


async def test_a_key_is_limited_to_its_events(service: Keys) -> None:
    key, _ = await service.create_key("Billing", PUBLISH, event_prefix="billing.")

    key.check("ada", "billing.paid")
    for event in ("billing", "billingx.paid", "x.billing.paid", ""):
        with pytest.raises(NotAllowed, match=r"billing\."):
            key.check("ada", event)


async def test_a_key_that_reads_shows_every_event(service: Keys) -> None:
    with pytest.raises(Invalid, match="read"):
        await service.create_key("Billing", frozenset({Scope.READ}), event_prefix="billing.")


prefixes = st.none() | st.from_regex(USER_PREFIX, fullmatch=True)


@given(prefixes, prefixes, st.text(":.-_abAB@", max_size=6))
def test_who_covers_a_key_may_touch_everybody_that_it_may(
    wide: str | None, narrow: str | None, rest: str
) -> None:
    one, other = an_api_key(user_prefix=wide), an_api_key(user_prefix=narrow)
    if one.covers(other):
        one.check((narrow or "") + rest)
    assert one.covers(one)
    assert not (one.covers(other) and other.covers(one)) or wide == narrow


@given(st.from_regex(EVENT_PREFIX, fullmatch=True), st.from_regex(EVENT_PREFIX, fullmatch=True))
def test_a_narrower_event_prefix_is_one_that_goes_on(one: str, more: str) -> None:
    wide, narrow = an_api_key(event_prefix=one), an_api_key(event_prefix=one + more)

    assert wide.covers(narrow)
    assert not narrow.covers(wide)


# --- managing ---


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({"name": ""}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "a" * 101}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a\u202eb"}, "name"),
        ({"scopes": frozenset()}, "scopes"),
        ({"scopes": frozenset({"everything"})}, "scopes"),
        ({"expires_at": NOW}, "expires_at"),
        ({"expires_at": datetime.max.replace(tzinfo=NOW.tzinfo)}, "expires_at"),
    ],
)
async def test_a_key_that_breaks_a_rule_is_not_made(
    service: Keys, changes: dict[str, Any], broken: str
) -> None:
    with pytest.raises(Invalid) as caught:
        await service.create_key(**{"name": "Billing", "scopes": PUBLISH, **changes})

    assert [error.field for error in caught.value.errors] == [broken]
    assert await service.keys.all() == []


async def test_a_key_makes_keys_with_its_own_prefixes(service: Keys) -> None:
    admin = await service.admin(user_prefix="acme:", event_prefix="billing.")

    key, _ = await service.create_key("Acme", PUBLISH, by=admin)
    narrower, _ = await service.create_key(
        "Acme", PUBLISH, user_prefix="acme:eu:", event_prefix="billing.paid.", by=admin
    )

    assert (key.user_prefix, key.event_prefix) == ("acme:", "billing.")
    assert (narrower.user_prefix, narrower.event_prefix) == ("acme:eu:", "billing.paid.")


@pytest.mark.parametrize(
    "wanted",
    [
        {"user_prefix": "globex:"},
        {"user_prefix": "ac."},
        {"user_prefix": "acme:eu_", "event_prefix": "sales."},
        {"scopes": frozenset({Scope.READ})},
        {"scopes": SCOPES},
    ],
)
async def test_a_key_makes_none_that_may_do_more_than_itself(service: Keys, wanted: dict[str, Any]) -> None:
    admin = await service.admin(user_prefix="acme:")
    admin = replace(admin, event_prefix="billing." if "event_prefix" in wanted else None)

    with pytest.raises(NotAllowed):
        await service.create_key(**{"name": "Acme", "scopes": PUBLISH, **wanted}, by=admin)

    assert len(await service.keys.all()) == 1


async def test_a_key_that_changes_only_its_own_makes_no_other(service: Keys) -> None:
    admin = await service.admin(own_only=True)

    made, _ = await service.create_key("Own", PUBLISH, by=admin)
    successor, _ = await service.rotate(made.id, DAY, by=admin)
    with pytest.raises(NotAllowed):
        await service.create_key("All", PUBLISH, own_only=False, by=admin)

    assert made.own_only
    assert successor.own_only


async def test_a_key_that_changes_everything_makes_both(service: Keys) -> None:
    admin = await service.admin()

    kinds = [
        (await service.create_key("x", PUBLISH, own_only=own, by=admin))[0] for own in (None, False, True)
    ]

    assert [key.own_only for key in kinds] == [False, False, True]
    limited, _ = await service.list(10, by=replace(admin, own_only=True))
    assert [key.own_only for key in limited] == [True]


@pytest.mark.parametrize(
    ("limits", "own"),
    [
        ({}, False),
        ({"own_only": True}, True),
        ({"event_prefix": "billing."}, True),
        ({"user_prefix": "a:"}, False),
    ],
)
def test_a_key_for_some_events_changes_only_its_own(limits: dict[str, Any], own: bool) -> None:
    assert an_api_key(**limits).changes_own_only == own


async def test_both_keys_are_good_until_the_old_one_ends(service: Keys) -> None:
    old, old_text = await service.create_key("Billing", PUBLISH, user_prefix="acme:", event_prefix="billing.")

    new, new_text = await service.rotate(old.id, DAY)

    service.clock.advance(days=1, microseconds=-1)
    for text in (old_text, new_text):
        await service.producer(text, Scope.PUBLISH)
    service.clock.advance(microseconds=1)
    await service.producer(new_text, Scope.PUBLISH)
    with pytest.raises(NotAuthenticated):
        await service.producer(old_text, Scope.PUBLISH)
    same: dict[str, Any] = {"id": old.id, "secret_hash": old.secret_hash, "created_at": old.created_at}
    assert replace(new, **same) == old
    assert (await service.find(old.id)).replaced_by == new.id


async def test_without_an_overlap_the_old_key_ends_at_once(service: Keys) -> None:
    old, text = await service.create_key("Billing", PUBLISH)

    await service.rotate(old.id, timedelta(0))

    with pytest.raises(NotAuthenticated):
        await service.producer(text, Scope.PUBLISH)


@pytest.mark.parametrize(
    ("ends", "chosen", "expected"),
    [
        (None, None, None),
        (NOW + 90 * DAY, None, NOW + 91 * DAY),
        (NOW + 90 * DAY, NOW + 7 * DAY, NOW + 7 * DAY),
        (None, NOW + 7 * DAY, NOW + 7 * DAY),
    ],
)
async def test_a_successor_lives_as_long_as_its_key_was_made_to(
    service: Keys, ends: datetime | None, chosen: datetime | None, expected: datetime | None
) -> None:
    key, _ = await service.create_key("Billing", PUBLISH, ends)
    service.clock.advance(days=1)

    new, _ = await service.rotate(key.id, DAY, chosen)

    assert new.expires_at == expected


@pytest.mark.parametrize("overlap", [-timedelta(microseconds=1), timedelta(days=30, microseconds=1)])
async def test_an_overlap_is_at_most_thirty_days(service: Keys, overlap: timedelta) -> None:
    key, _ = await service.create_key("Billing", PUBLISH)

    with pytest.raises(Invalid, match="overlap"):
        await service.rotate(key.id, overlap)


async def test_a_key_is_rotated_once(service: Keys) -> None:
    key, _ = await service.create_key("Billing", PUBLISH)
    await service.rotate(key.id, DAY)

    with pytest.raises(KeyNotInUse):
        await service.rotate(key.id, DAY)

    assert len(await service.keys.all()) == 2


async def test_a_successor_that_has_expired_is_not_made(service: Keys) -> None:
    key, _ = await service.create_key("Billing", PUBLISH)

    with pytest.raises(Invalid, match="expires_at"):
        await service.rotate(key.id, DAY, NOW)


async def test_revoking_a_key_again_changes_nothing(service: Keys) -> None:
    key, _ = await service.create_key("Billing", PUBLISH)

    assert [await service.revoke(key.id), await service.revoke(key.id)] == [True, False]


Touch = Callable[[Keys, str, ApiKey | None], Awaitable[Any]]
TOUCHES: dict[str, Touch] = {
    "show": lambda service, key, by: service.find(key, by=by),
    "rotate": lambda service, key, by: service.rotate(key, DAY, by=by),
    "revoke": lambda service, key, by: service.revoke(key, by=by),
}


@pytest.mark.parametrize("touch", TOUCHES.values(), ids=TOUCHES)
@pytest.mark.parametrize(
    "limits",
    [{"user_prefix": "globex:"}, {"user_prefix": "ac:"}, {}, {"scopes": SCOPES, "user_prefix": "acme:"}],
)
async def test_a_key_that_may_do_more_is_unknown(service: Keys, touch: Touch, limits: dict[str, Any]) -> None:
    admin = await service.admin(user_prefix="acme:")
    key, _ = await service.create_key(**{"name": "Another", "scopes": PUBLISH, **limits})
    before = await service.keys.all()

    for unknown in (key.id, "nobody"):
        with pytest.raises(UnknownKey):
            await touch(service, unknown, admin)

    assert await service.keys.all() == before
    assert await service.list(100, by=admin) == ([admin], False)


@pytest.mark.parametrize("touch", TOUCHES.values(), ids=TOUCHES)
async def test_a_key_may_do_that_to_itself_and_to_narrower_ones(service: Keys, touch: Touch) -> None:
    admin = await service.admin(user_prefix="acme:")
    key, _ = await service.create_key("Acme", PUBLISH, user_prefix="acme:eu:")

    for known in (key.id, admin.id):
        await touch(service, known, admin)


async def test_keys_are_listed_in_pages(service: Keys) -> None:
    made = []
    for _ in range(5):
        made.append((await service.create_key("Billing", PUBLISH))[0])
        service.clock.advance(seconds=1)

    first, more = await service.list(3)
    rest, no_more = await service.list(3, first[-1].id)

    assert ([*first, *rest], more, no_more) == (made, True, False)
    with pytest.raises(Invalid, match="cursor"):
        await service.list(3, "nobody")
