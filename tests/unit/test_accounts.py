"""Users, log-in, API keys and stream tickets."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from adapters.security.forms import PrecisForms
from application.accounts import (
    AuthenticateOperator,
    AuthenticateUser,
    CreateUser,
    IssueStreamTicket,
    LogIn,
)
from application.audit import Action, ActorKind, By, Entry
from application.credentials import Claims, LatestRevocations, RevokedToken, token_id
from application.errors import NotAllowed, NotAuthenticated, Revoked, Unavailable, UnknownSigningKey
from application.revoking import (
    DisableUser,
    EnableUser,
    EndSession,
    Revocations,
    RevokeToken,
    RevokeTokens,
    claims_of,
)
from domain.errors import Invalid, UnknownUser, UserTaken
from domain.identifiers import UserId
from tests.build import ADA, BOB, LATER, NOW, TestClock, a_user
from tests.memory import (
    MemoryApiKeys,
    MemoryPasswords,
    MemoryRevokedTokens,
    MemoryTickets,
    MemoryTokens,
    MemoryUsers,
)


@dataclass
class Accounts:
    clock: TestClock = field(default_factory=TestClock)
    passwords: MemoryPasswords = field(default_factory=MemoryPasswords)
    tokens: MemoryTokens = field(default_factory=MemoryTokens)
    tickets: MemoryTickets = field(default_factory=MemoryTickets)
    keys: MemoryApiKeys = field(default_factory=MemoryApiKeys)

    def __post_init__(self) -> None:
        self.users = MemoryUsers(self.clock)
        self.revoked_tokens = MemoryRevokedTokens(self.clock)
        self.revocations = Revocations(self.users, self.revoked_tokens)
        self.create = CreateUser(
            users=self.users,
            passwords=self.passwords,
            forms=PrecisForms(),
            clock=self.clock,
            new_user_id=lambda: UserId("made-up"),
        )
        self.log_in = LogIn(
            users=self.users,
            passwords=self.passwords,
            forms=PrecisForms(),
            tokens=self.tokens,
            clock=self.clock,
        )
        self.authenticate = AuthenticateUser(
            tokens=self.tokens, tickets=self.tickets, revocations=self.revocations, clock=self.clock
        )
        self.disable = DisableUser(users=self.users)
        self.enable = EnableUser(users=self.users)
        self.revoke_tokens = RevokeTokens(users=self.users)
        self.end = EndSession(revoked_tokens=self.revoked_tokens, revocations=self.revocations)
        self.revoke_token = RevokeToken(
            revoked_tokens=self.revoked_tokens,
            tokens=self.tokens,
            clock=self.clock,
            longest=timedelta(days=1),
        )
        self.issue = IssueStreamTicket(tickets=self.tickets)


@pytest.fixture
def accounts() -> Accounts:
    return Accounts()


# --- users ---


async def test_a_user_is_stored_with_the_hash_and_not_the_password(accounts: Accounts) -> None:
    user = await accounts.create("Ada", "Ada@Example.COM ", "correct horse", ADA)

    assert (user.id, user.name, user.email, user.created_at) == (ADA, "Ada", "ada@example.com", NOW)
    assert accounts.users.held[ADA] == (user, await accounts.passwords.hash("correct horse"))


async def test_who_brings_no_id_gets_one(accounts: Accounts) -> None:
    assert (await accounts.create("Ada")).id == "made-up"


async def test_without_a_password_nothing_is_hashed(accounts: Accounts) -> None:
    await accounts.create("Ada", "ada@example.com", None, ADA)

    assert accounts.users.held[ADA][1] is None


@pytest.mark.parametrize(
    ("given", "broken"),
    [
        (("", None, None, "ada"), ["name"]),
        (("   ", None, None, "ada"), ["name"]),
        (("n" * 201, None, None, "ada"), ["name"]),
        (("a\x00", None, None, "ada"), ["name"]),
        (("Ada", None, None, ""), ["id"]),
        (("Ada", None, None, "a/b"), ["id"]),
        (("Ada", None, None, "a" * 129), ["id"]),
        (("Ada", "", None, "ada"), ["email"]),
        (("Ada", "ada", None, "ada"), ["email"]),
        (("Ada", "a b@c", None, "ada"), ["email"]),
        (("Ada", "a@b@c", None, "ada"), ["email"]),
        (("Ada", "a@" + "b" * 253, None, "ada"), ["email"]),
        (("Ada", "a@\ud800", None, "ada"), ["email"]),
        (("Ada", "a@b", "1234567", "ada"), ["password"]),
        (("Ada", "a@b", "p" * 257, "ada"), ["password"]),
        (("Ada", "a@b", "p" * 5_000, "ada"), ["password"]),
        (("Ada", "a@b", "e\u0301" * 7, "ada"), ["password"]),
        (("Ada", "a@b", "\u0958" * 129, "ada"), ["password"]),
        (("Ada", "a@b", "password\x00", "ada"), ["password"]),
        (("Ada", None, "12345678", "ada"), ["email"]),
        (("", "ada", "1234567", "a b"), ["email", "password", "id", "name"]),
        (("Ada", "ada\u200b@example.com", None, "ada"), ["email"]),
        (("Ada", "a@b", "pass\u200bword", "ada"), ["password"]),
        (("Ada", "a@b", "password\ud800", "ada"), ["password"]),
        (("Ada", "a@b", "", "ada"), ["password"]),
    ],
)
async def test_what_breaks_a_rule_creates_nobody(
    accounts: Accounts, given: tuple[str, str | None, str | None, UserId], broken: list[str]
) -> None:
    with pytest.raises(Invalid) as caught:
        await accounts.create(*given)

    assert [error.field for error in caught.value.errors] == broken
    assert accounts.users.held == {}


@pytest.mark.parametrize("password", ["12345678", "p" * 256, "👩" * 8, "e\u0301" * 8, "e\u0301" * 256])
async def test_a_password_of_the_right_length_is_taken(accounts: Accounts, password: str) -> None:
    await accounts.create("n" * 200, "a@" + "b" * 252, password, UserId("u" * 128))

    assert await accounts.log_in("a@" + "b" * 252, password)


@pytest.mark.parametrize(("user_id", "email"), [("ada", "other@example.com"), ("other", "ADA@example.com")])
async def test_an_id_and_an_address_are_taken_once(accounts: Accounts, user_id: str, email: str) -> None:
    await accounts.create("Ada", "ada@example.com", None, ADA)

    with pytest.raises(UserTaken):
        await accounts.create("Another", email, None, UserId(user_id))

    assert len(accounts.users.held) == 1


async def test_with_the_store_away_nobody_is_created(accounts: Accounts) -> None:
    accounts.users.away = True

    with pytest.raises(Unavailable):
        await accounts.create("Ada")


# --- log-in ---


async def test_the_right_password_gives_a_token_that_speaks_for_the_user(accounts: Accounts) -> None:
    await accounts.create("Ada", "ada@example.com", "correct horse", ADA)

    user, token, seconds = await accounts.log_in(" ADA@example.com", "correct horse")

    assert user == ADA
    assert (await accounts.authenticate.token(token)).user_id == ADA
    assert seconds == 3600


async def test_a_token_expires(accounts: Accounts) -> None:
    token, seconds = accounts.tokens.mint(ADA, accounts.clock())
    accounts.clock.advance(seconds=seconds)

    with pytest.raises(NotAuthenticated):
        await accounts.authenticate.token(token)


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("ada@example.com", "wrong horse"),
        ("ada@example.com", ""),
        ("nobody@example.com", "correct horse"),
        ("bare@example.com", "correct horse"),
        ("gone@example.com", "correct horse"),
        ("", ""),
    ],
    ids=["wrong", "empty", "unknown", "without a password", "disabled", "nothing"],
)
async def test_nobody_learns_why_a_log_in_failed(accounts: Accounts, email: str, password: str) -> None:
    await accounts.create("Ada", "ada@example.com", "correct horse", ADA)
    await accounts.create("Bare", "bare@example.com", None, UserId("bare"))
    gone = a_user(UserId("gone"), email="gone@example.com", disabled_at=NOW)
    await accounts.users.add(gone, await accounts.passwords.hash("correct horse"))

    with pytest.raises(NotAuthenticated) as caught:
        await accounts.log_in(email, password)

    assert caught.value.detail == "The e-mail address or the password is wrong."


# --- texts that are typed in several ways ---


@pytest.mark.parametrize(
    ("chosen", "typed"),
    [
        ("d\u00e9j\u00e0 vu!", "de\u0301ja\u0300 vu!"),
        ("de\u0301ja\u0300 vu!", "d\u00e9j\u00e0 vu!"),
        ("correct\u00a0horse", "correct horse"),
        (" correct horse ", "\u2003correct\u3000horse "),
    ],
    ids=["decomposed", "composed", "a space that does not break", "spaces at the ends"],
)
async def test_a_password_is_the_same_however_it_is_typed(
    accounts: Accounts, chosen: str, typed: str
) -> None:
    await accounts.create("Ada", "ada@example.com", chosen, ADA)

    for password in (chosen, typed):
        assert (await accounts.log_in("ada@example.com", password))[0] == ADA


@pytest.mark.parametrize(
    "typed",
    ["correct horse", " Correct horse", "Correct horse ", "\uff23orrect horse", "Correct\u200b horse"],
)
async def test_passwords_that_only_resemble_each_other_are_different(accounts: Accounts, typed: str) -> None:
    await accounts.create("Ada", "ada@example.com", "Correct horse", ADA)

    with pytest.raises(NotAuthenticated):
        await accounts.log_in("ada@example.com", typed)


ADDRESS = "zo\u00e9@b\u00fccher.example"
SPELLINGS = {
    "decomposed": "zoe\u0301@bu\u0308cher.example",
    "in capitals": "ZO\u00c9@B\u00dcCHER.EXAMPLE",
    "full-width": "\uff5a\uff4f\u00e9\uff20b\u00fccher\uff0e\uff45xample",
    "as an A-label": "zo\u00e9@XN--bcher-kva.example",
    "with the dot of the root": "zo\u00e9@b\u00fccher.example.",
    "with an ideographic dot": "zo\u00e9@b\u00fccher\u3002example",
    "with spaces around": " zo\u00e9@b\u00fccher.example\n",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_an_address_is_one_account_however_it_is_typed(accounts: Accounts, spelling: str) -> None:
    user = await accounts.create("Zo\u00e9", SPELLINGS[spelling], "correct horse", ADA)

    assert user.email == ADDRESS
    for email in (ADDRESS, *SPELLINGS.values()):
        assert (await accounts.log_in(email, "correct horse"))[0] == ADA
        with pytest.raises(UserTaken):
            await accounts.create("Another", email)


class Counted(MemoryPasswords):
    """Remembers what was compared with which hash."""

    def __init__(self) -> None:
        self.verified: list[tuple[str, str | None]] = []

    async def verify(
        self, password: str, password_hash: str | None, party: str = "", *, first: bool = False
    ) -> bool:
        self.verified.append((password, password_hash))
        return await super().verify(password, password_hash, party, first=first)


@pytest.fixture
def counted() -> Accounts:
    return Accounts(passwords=Counted())


@pytest.mark.parametrize(
    ("typed", "verified"),
    [
        ("correct horse", ["correct horse"]),
        ("de\u0301ja\u0300 vu!", ["d\u00e9j\u00e0 vu!", "de\u0301ja\u0300 vu!"]),
        ("zero\u200bwidth", ["zero\u200bwidth"]),
        ("password\x00", []),
        ("p" * 5_000, []),
    ],
    ids=["in its form", "in another", "without a form", "never a password", "too long for one"],
)
@pytest.mark.parametrize("email", ["ada@example.com", "bare@example.com", "nobody@example.com"])
async def test_what_a_failed_log_in_costs_depends_on_what_was_typed_alone(
    counted: Accounts, email: str, typed: str, verified: list[str]
) -> None:
    await counted.create("Ada", "ada@example.com", "another one", ADA)
    await counted.create("Bare", "bare@example.com", None, BOB)

    with pytest.raises(NotAuthenticated):
        await counted.log_in(email, typed)

    assert isinstance(counted.passwords, Counted)
    held = counted.users.held[ADA][1] if email == "ada@example.com" else None
    assert counted.passwords.verified == [(text, held) for text in verified]


# --- accounts from before texts had one form ---

RAW = "de\u0301ja\u0300 vu!"


async def stored_earlier(
    accounts: Accounts, email: str, password: str | None = RAW, user: UserId = ADA
) -> None:
    """As it was: the address in lower case, the password as it was typed."""
    held = await accounts.passwords.hash(password) if password is not None else None
    await accounts.users.add(a_user(user, email=email.strip().lower()), held)


async def test_a_hash_of_what_was_typed_is_taken_once_and_replaced(accounts: Accounts) -> None:
    await stored_earlier(accounts, "ada@example.com")
    with pytest.raises(NotAuthenticated):
        await accounts.log_in("ada@example.com", "d\u00e9j\u00e0 vu!")

    assert (await accounts.log_in("ada@example.com", RAW))[0] == ADA

    assert accounts.users.held[ADA][1] == await accounts.passwords.hash("d\u00e9j\u00e0 vu!")
    for password in (RAW, "d\u00e9j\u00e0 vu!"):
        assert (await accounts.log_in("ada@example.com", password))[0] == ADA


@pytest.mark.parametrize("password", ["zero\u200bwidth", "\u2764\ufe0f" * 8, "e\u0301" * 4, "\u0958" * 200])
async def test_a_password_that_would_not_be_taken_any_more_still_lets_in(
    accounts: Accounts, password: str
) -> None:
    await stored_earlier(accounts, "ada@example.com", password)

    for _ in range(2):
        assert (await accounts.log_in("ada@example.com", password))[0] == ADA


async def test_a_right_hash_is_not_replaced(accounts: Accounts) -> None:
    await accounts.create("Ada", "ada@example.com", RAW, ADA)
    before = accounts.users.held[ADA]

    await accounts.log_in("ADA@example.com", RAW)

    assert accounts.users.held[ADA] is before


@pytest.mark.parametrize(
    "email", [*(text for text in SPELLINGS.values() if "@" in text), "\uff5ao\u00e9@b\u00fccher\uff0eexample"]
)
async def test_an_address_stored_in_another_form_lets_in_and_gets_the_one_form(
    accounts: Accounts, email: str
) -> None:
    await stored_earlier(accounts, email, "correct horse")

    assert (await accounts.log_in(email, "correct horse"))[0] == ADA

    assert accounts.users.held[ADA][0].email == ADDRESS
    for spelling in (ADDRESS, *SPELLINGS.values()):
        assert (await accounts.log_in(spelling, "correct horse"))[0] == ADA


@pytest.mark.parametrize("email", ["ad\u200ba@example.com", "\u2764@example.com", "a@b\u2764", "a@b..c"])
async def test_an_address_that_would_not_be_taken_any_more_still_lets_in(
    accounts: Accounts, email: str
) -> None:
    await stored_earlier(accounts, email)

    for _ in range(2):
        assert (await accounts.log_in(email, RAW))[0] == ADA

    assert accounts.users.held[ADA][0].email == email


async def test_who_signs_up_with_the_form_of_an_address_takes_nobodys_account(accounts: Accounts) -> None:
    await stored_earlier(accounts, SPELLINGS["decomposed"], "correct horse")
    await accounts.create("Bob", ADDRESS, "another one", BOB)

    for _ in range(2):
        assert (await accounts.log_in(SPELLINGS["decomposed"], "correct horse"))[0] == ADA
        assert (await accounts.log_in(ADDRESS, "another one"))[0] == BOB


@pytest.mark.parametrize("password", ["correct horse", None])
async def test_an_address_stored_in_another_form_is_taken(accounts: Accounts, password: str | None) -> None:
    await stored_earlier(accounts, SPELLINGS["decomposed"], password)

    with pytest.raises(UserTaken):
        await accounts.create("Again", SPELLINGS["decomposed"], "correct horse", BOB)


async def test_who_cannot_be_given_the_one_form_now_is_let_in_and_given_it_later(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await stored_earlier(accounts, SPELLINGS["decomposed"])
    before = accounts.users.held[ADA]

    async def read_only(*_arguments: object) -> None:
        raise Unavailable

    with monkeypatch.context() as patch:
        patch.setattr(accounts.users, "renew", read_only)
        assert (await accounts.log_in(SPELLINGS["decomposed"], RAW))[0] == ADA
    assert accounts.users.held[ADA] == before
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert RAW not in caplog.text

    await accounts.log_in(SPELLINGS["decomposed"], RAW)
    assert accounts.users.held[ADA][0].email == ADDRESS


async def test_a_disabled_account_comes_into_no_other_form(accounts: Accounts) -> None:
    await stored_earlier(accounts, "ada@example.com")
    await accounts.disable(ADA)
    before = accounts.users.held[ADA]

    with pytest.raises(NotAuthenticated):
        await accounts.log_in("ada@example.com", RAW)

    assert accounts.users.held[ADA] == before


# --- tickets ---


async def test_a_ticket_stands_for_the_token_it_was_issued_for_once(accounts: Accounts) -> None:
    claims = await accounts.authenticate.token(accounts.tokens.mint(ADA, NOW)[0])

    ticket, seconds = await accounts.issue(claims)

    assert seconds == 30
    assert await accounts.authenticate.ticket(ticket) == claims
    with pytest.raises(NotAuthenticated):
        await accounts.authenticate.ticket(ticket)


# --- revoking ---


MOMENT = timedelta(microseconds=1)


@pytest.fixture
async def two(accounts: Accounts) -> Accounts:
    """With Ada and Bob in it, and nothing revoked."""
    for user in (ADA, BOB):
        await accounts.users.add(a_user(user), None)
    await accounts.revocations.refresh()
    return accounts


def claims(accounts: Accounts, user: UserId = ADA) -> Claims:
    """Of a token that is issued now."""
    return accounts.tokens.verify(accounts.tokens.mint(user, accounts.clock())[0], accounts.clock())


def test_what_is_revoked_is_not_authenticated_and_says_why() -> None:
    assert issubclass(Revoked, NotAuthenticated)
    assert "revoked" in Revoked().detail


async def test_revoked_tokens_are_those_issued_before(two: Accounts) -> None:
    old, _ = two.tokens.mint(ADA, NOW)
    bobs, _ = two.tokens.mint(BOB, NOW)
    two.clock.at += MOMENT
    await two.revoke_tokens(ADA)
    assert (await two.authenticate.token(old)).user_id == ADA  # until the next look

    await two.revocations.refresh()

    with pytest.raises(Revoked):
        await two.authenticate.token(old)
    assert (await two.authenticate.token(two.tokens.mint(ADA, two.clock())[0])).user_id == ADA
    assert (await two.authenticate.token(bobs)).user_id == BOB


async def test_a_disabled_user_has_no_good_token_until_enabled(two: Accounts) -> None:
    before, _ = two.tokens.mint(ADA, NOW)
    await two.disable(ADA)
    await two.revocations.refresh()
    two.clock.advance(minutes=30)
    meanwhile, _ = two.tokens.mint(ADA, two.clock())
    for token in (before, meanwhile):
        with pytest.raises(Revoked):
            await two.authenticate.token(token)

    two.clock.at += MOMENT
    await two.enable(ADA)
    await two.revocations.refresh()

    for token in (before, meanwhile):
        with pytest.raises(Revoked):
            await two.authenticate.token(token)
    assert (await two.authenticate.token(two.tokens.mint(ADA, two.clock())[0])).user_id == ADA


async def test_a_ticket_dies_with_its_token(two: Accounts) -> None:
    ticket, _ = await two.issue(claims(two))
    two.clock.at += MOMENT
    await two.revoke_tokens(ADA)
    await two.revocations.refresh()

    with pytest.raises(Revoked):
        await two.authenticate.ticket(ticket)
    again, _ = await two.issue(claims(two))
    assert (await two.authenticate.ticket(again)).user_id == ADA


async def test_an_expired_token_says_so_and_not_that_it_was_revoked(two: Accounts) -> None:
    token, seconds = two.tokens.mint(ADA, NOW)
    await two.disable(ADA)
    await two.revocations.refresh()
    two.clock.advance(seconds=seconds)

    with pytest.raises(NotAuthenticated) as caught:
        await two.authenticate.token(token)

    assert not isinstance(caught.value, Revoked)


async def test_who_was_disabled_and_enabled_between_two_looks_is_signed_out(two: Accounts) -> None:
    open_stream = claims(two)
    two.clock.advance(seconds=1)
    await two.disable(ADA)
    await two.enable(ADA)

    await two.revocations.refresh()

    assert two.revocations.is_revoked(open_stream)


async def test_what_was_revoked_before_the_process_began_is_known(two: Accounts) -> None:
    old = claims(two)
    two.clock.advance(seconds=1)
    await two.revoke_tokens(ADA)
    two.clock.advance(days=400)
    later = Revocations(two.users, two.revoked_tokens)

    await later.refresh()

    assert later.is_revoked(old)


async def test_what_is_committed_with_an_earlier_time_is_seen(two: Accounts) -> None:
    """The transaction of one revocation took longer than that of another, or the clock went back."""
    two.clock.advance(minutes=10)
    await two.revoke_tokens(BOB)
    await two.revocations.refresh()
    held = claims(two)

    two.clock.advance(seconds=-30)
    await two.disable(ADA)
    two.clock.advance(seconds=32)
    await two.revocations.refresh()

    assert two.revocations.is_revoked(held)


async def test_only_what_is_new_is_asked_for(two: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[datetime | None] = []
    ask = two.users.revocations

    async def watched(since: datetime | None) -> LatestRevocations:
        asked.append(since)
        return await ask(since)

    monkeypatch.setattr(two.users, "revocations", watched)
    two.clock.advance(hours=1)
    await two.revocations.refresh()
    two.clock.advance(hours=1)
    await two.revocations.refresh()

    assert asked == [NOW - timedelta(seconds=60), NOW + timedelta(minutes=59)]


async def test_with_the_store_away_what_is_known_stays_and_the_rest_comes_later(
    two: Accounts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    adas, bobs = claims(two, ADA), claims(two, BOB)
    two.clock.advance(seconds=1)
    await two.disable(ADA)
    await two.revocations.refresh()
    await two.disable(BOB)

    two.users.away = True
    for _ in range(3):
        two.clock.advance(minutes=10)
        await two.revocations.refresh()
    assert (two.revocations.is_revoked(adas), two.revocations.is_revoked(bobs)) == (True, False)
    assert _of_revoking(caplog) == ["WARNING"]

    two.users.away = False
    for _ in range(2):
        await two.revocations.refresh()
    assert two.revocations.is_revoked(bobs)
    assert _of_revoking(caplog) == ["WARNING", "INFO"]


def _of_revoking(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.levelname for record in caplog.records if record.name == "application.revoking"]


async def test_the_store_is_asked_again_and_again(two: Accounts) -> None:
    revocations = Revocations(two.users, two.revoked_tokens, every_seconds=0.001)
    running = asyncio.create_task(revocations.run())
    try:
        for user in (ADA, BOB):
            held = claims(two, user)
            await two.disable(user)
            async with asyncio.timeout(60):
                while not revocations.is_revoked(held):  # noqa: ASYNC110 - what it waits for has no event
                    await asyncio.sleep(0.001)
    finally:
        running.cancel()


@pytest.mark.parametrize("change", ["disable", "enable", "revoke_tokens"])
async def test_nobody_who_does_not_exist_can_be_locked_out(two: Accounts, change: str) -> None:
    use_case: Callable[[UserId], Awaitable[None]] = getattr(two, change)

    with pytest.raises(UnknownUser):
        await use_case(UserId("nobody"))


# --- single tokens ---


async def test_who_logs_out_loses_that_token_immediately_and_no_other(two: Accounts) -> None:
    (one, _), (other, _) = two.tokens.mint(ADA, NOW), two.tokens.mint(ADA, NOW)
    ticket, _ = await two.issue(await two.authenticate.token(one))

    await two.end(await two.authenticate.token(one))

    with pytest.raises(Revoked):
        await two.authenticate.token(one)
    with pytest.raises(Revoked):
        await two.authenticate.ticket(ticket)
    assert (await two.authenticate.token(other)).user_id == ADA


async def test_a_token_that_was_revoked_elsewhere_is_refused_after_the_next_look(two: Accounts) -> None:
    token, _ = two.tokens.mint(ADA, NOW)

    assert await two.revoke_token(token) == ADA
    assert (await two.authenticate.token(token)).user_id == ADA
    await two.revocations.refresh()

    with pytest.raises(Revoked):
        await two.authenticate.token(token)


async def test_a_token_is_revoked_by_its_jti_for_one_user(two: Accounts) -> None:
    expires_at = NOW + timedelta(hours=1)
    await two.revoke_token.by_jti(ADA, "7", expires_at)
    await two.revocations.refresh()

    for user, jti, revoked in ((ADA, "7", True), (BOB, "7", False), (ADA, "8", False)):
        held = Claims(user, expires_at, NOW, token_id(user, jti))
        assert two.revocations.is_revoked(held) == revoked


async def test_who_revokes_a_single_token_is_recorded_and_a_log_out_is_not(two: Accounts) -> None:
    by = By(ActorKind.KEY, "k1", "192.0.2.1")
    token, _ = two.tokens.mint(ADA, NOW)
    claims = await two.authenticate.token(token)

    await two.revoke_token(token, by=by)
    await two.revoke_token.by_jti(BOB, "7", None, by=by)
    await two.end(claims)

    assert two.revoked_tokens.audited == [
        Entry(by, Action.TOKEN_REVOKED, ADA, {"token": claims.token_id}),
        Entry(by, Action.TOKEN_REVOKED, BOB, {"token": token_id(BOB, "7")}),
    ]


@pytest.mark.parametrize("given", [None, NOW + timedelta(days=400)])
async def test_a_revocation_is_kept_no_longer_than_any_token_is_valid(
    two: Accounts, given: datetime | None
) -> None:
    await two.revoke_token.by_jti(ADA, "7", given)

    (token,) = (await two.revoked_tokens.latest(None)).tokens
    assert token.expires_at == NOW + timedelta(days=1)


@pytest.mark.parametrize("jti", ["", "x" * 257])
async def test_a_jti_that_none_has_is_refused(two: Accounts, jti: str) -> None:
    with pytest.raises(Invalid):
        await two.revoke_token.by_jti(ADA, jti, None)


async def test_what_is_no_token_cannot_be_revoked_nor_one_that_the_caller_must_not_touch(
    two: Accounts,
) -> None:
    def refuse(user: UserId) -> None:
        raise NotAllowed(f"not {user}")

    with pytest.raises(Invalid):
        await two.revoke_token("no token")
    with pytest.raises(NotAllowed, match="not ada"):
        await two.revoke_token(two.tokens.mint(ADA, NOW)[0], refuse)

    assert two.revoked_tokens.held == {}


async def test_revoked_tokens_are_forgotten_when_they_have_expired(two: Accounts) -> None:
    for hours in (1, 3):
        await two.revoked_tokens.add(RevokedToken(str(hours), NOW + timedelta(hours=hours)))
    await two.revocations.refresh()
    two.clock.advance(hours=2)
    await two.revocations.refresh()

    await two.revocations.prune()

    assert set(two.revoked_tokens.held) == set(two.revocations._revoked_tokens) == {"3"}


async def test_with_the_store_away_nothing_that_is_revoked_is_forgotten(two: Accounts) -> None:
    await two.revoked_tokens.add(RevokedToken("one", NOW + timedelta(hours=1)))
    await two.revocations.refresh()
    two.revoked_tokens.away = True

    await two.revocations.refresh()
    await two.revocations.prune()

    assert two.revocations.is_revoked(Claims(ADA, LATER, NOW, "one"))


async def test_a_process_keeps_a_bounded_number_of_revoked_tokens(
    two: Accounts, caplog: pytest.LogCaptureFixture
) -> None:
    revocations = Revocations(two.users, two.revoked_tokens, most_tokens=10)
    for minute in range(25):
        await two.revoked_tokens.add(RevokedToken(str(minute), NOW + timedelta(minutes=minute)))
        await revocations.refresh()

    kept = revocations._revoked_tokens
    assert len(kept) <= 10
    assert "24" in kept
    assert "1" not in kept
    assert "more than a process can hold" in caplog.text


class Rotated(MemoryTokens):
    """Knows the key of a token only when it has been read again."""

    def __init__(self, *, helps: bool) -> None:
        super().__init__()
        self.helps = helps
        self.asked = 0

    def verify(self, token: str, at: datetime) -> Claims:
        if not self.asked or not self.helps:
            raise UnknownSigningKey
        return super().verify(token, at)

    async def renew_keys(self) -> bool:
        self.asked += 1
        return self.helps


async def test_keys_are_read_again_for_a_token_of_an_unknown_one() -> None:
    tokens = Rotated(helps=True)

    assert (await claims_of(tokens.mint(ADA, NOW)[0], tokens, lambda: NOW)).user_id == ADA


async def test_a_key_that_stays_unknown_is_refused_after_one_look() -> None:
    tokens = Rotated(helps=False)

    with pytest.raises(UnknownSigningKey):
        await claims_of(tokens.mint(ADA, NOW)[0], tokens, lambda: NOW)

    assert tokens.asked == 1


async def test_without_a_secret_nobody_is_an_operator() -> None:
    with pytest.raises(NotAuthenticated, match="BELLWIRE_OPERATOR_SECRET"):
        AuthenticateOperator(tokens=None, clock=lambda: NOW)("token")
