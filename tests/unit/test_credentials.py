"""User tokens as JWT, passwords as argon2id, and the forms of texts by PRECIS."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from precis_i18n import get_profile
from precis_i18n.unicode import UnicodeData

from adapters.security.forms import _OPAQUE, _USERNAME, PrecisForms, _enforced
from adapters.security.passwords import Argon2Passwords
from adapters.security.tokens import JwtTokens
from application.errors import NotAuthenticated
from application.ports import Passwords, TextForms, Tokens
from domain.errors import Invalid
from tests import contracts
from tests.build import ADA, NOW
from tests.tokens import GOOD, SECRET, part, signed


@pytest.fixture
def tokens() -> JwtTokens:
    return JwtTokens(SECRET, "bellwire", timedelta(hours=1))


class TestJwtTokens(contracts.TokensContract):
    @pytest.fixture
    def tokens(self) -> Tokens:
        return JwtTokens(SECRET, "bellwire", timedelta(hours=1))


def test_a_token_minted_elsewhere_with_the_secret_is_good(tokens: JwtTokens) -> None:
    claims = tokens.verify(signed(), NOW)

    assert claims.user_id == "ada"
    assert claims.expires_at == datetime.fromtimestamp(GOOD["exp"], UTC)


@pytest.mark.parametrize("issued", [1_773_480_413, 1_773_480_413.25])
def test_a_host_may_say_in_whole_seconds_or_better_when_it_issued_a_token(issued: float) -> None:
    tokens = JwtTokens(SECRET, "bellwire", timedelta(hours=1), skew=timedelta(0))

    assert tokens.verify(signed(iat=issued), NOW).issued_at.timestamp() == issued


def test_a_token_of_another_issuer_counts_as_issued_before_its_time(tokens: JwtTokens) -> None:
    """Its clock may have been a minute ahead when the user was signed out everywhere."""
    claims = tokens.verify(signed(), NOW)

    assert claims.issued_at.timestamp() == GOOD["iat"] - 60


def test_claims_of_the_hosts_own_do_no_harm(tokens: JwtTokens) -> None:
    assert tokens.verify(signed(role="admin", aud=["else", "bellwire"]), NOW).user_id == "ada"


FORGED: dict[str, Callable[[], str]] = {
    "no signature": lambda: f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(GOOD)}.",
    "an algorithm called NONE": lambda: f"{part({'alg': 'NONE'})}.{part(GOOD)}.",
    "signature cut off": lambda: signed().rpartition(".")[0] + ".",
    "another algorithm": lambda: signed(key=SECRET * 2, algorithm="HS512"),
    "another algorithm with our secret": lambda: signed(key=SECRET, algorithm="HS384"),
    "another secret": lambda: signed(key="x" * 32),
    "another payload": lambda: ".".join(
        [signed().split(".")[0], part(GOOD | {"sub": "eve"}), signed().split(".")[2]]
    ),
    "another audience": lambda: signed(aud="else"),
    "no audience": lambda: signed(aud=...),
    "no user": lambda: signed(sub=...),
    "a user that is a number": lambda: signed(sub=7),
    "a user that has half a character": lambda: signed(sub="ada\ud83d"),
    "a user that has a space": lambda: signed(sub="ada lovelace"),
    "a user that nobody can be": lambda: signed(sub=""),
    "no expiry": lambda: signed(exp=...),
    "no issue time": lambda: signed(iat=...),
    "an issue time that is text": lambda: signed(iat="1773480413"),
    "an issue time that is null": lambda: signed(iat=None),
    "an issue time that is no number": lambda: signed(iat=float("nan")),
    "an issue time before all time": lambda: signed(iat=-(10**30)),
    "an issue time without end": lambda: signed(iat=float("inf")),
    "an issue time that is a list": lambda: signed(iat=[]),
    "expired": lambda: signed(exp=int(NOW.timestamp()) - 1),
    "expired this moment": lambda: signed(exp=int(NOW.timestamp())),
    "an expiry that is text": lambda: signed(exp="soon"),
    "an expiry that is null": lambda: signed(exp=None),
    "an expiry that is a list": lambda: signed(exp=[1]),
    "an expiry beyond all time": lambda: signed(exp=10**30),
    "an expiry that is no number": lambda: signed(exp=float("nan")),
    "an expiry without end": lambda: signed(exp=float("inf")),
    "an expiry in the year 10000": lambda: signed(exp=253_402_300_800),
    "not before next century": lambda: signed(nbf=4_102_444_800),
    "issued next century": lambda: signed(iat=4_102_444_800),
    "an unknown critical header": lambda: jwt.encode(GOOD, SECRET, "HS256", headers={"crit": ["x"], "x": 1}),
    "a payload that is no object": lambda: ".".join(
        [part({"alg": "HS256"}), part([1]), signed().split(".")[2]]
    ),
    "four parts": lambda: f"{signed()}.x",
    "spaces": lambda: f" {signed()} x",
}


@pytest.mark.parametrize("name", FORGED)
def test_a_token_that_is_not_right_in_every_way_is_refused(
    tokens: JwtTokens, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("warnings.warn", lambda *_args, **_named: None)  # of PyJWT, about short keys

    with pytest.raises(NotAuthenticated) as caught:
        tokens.verify(FORGED[name](), NOW)

    assert "ada" not in caught.value.detail


def test_a_token_of_a_clock_that_is_a_little_ahead_is_good(tokens: JwtTokens) -> None:
    ahead = NOW + timedelta(seconds=30)

    assert tokens.verify(signed(iat=ahead, exp=ahead + timedelta(hours=1)), NOW).user_id == ADA


def test_a_token_that_was_verified_is_remembered_but_not_beyond_its_end(tokens: JwtTokens) -> None:
    token = signed()
    tokens.verify(token, NOW)
    assert token in tokens._verified

    with pytest.raises(NotAuthenticated):
        tokens.verify(token, NOW + timedelta(seconds=60))

    assert token not in tokens._verified


def test_what_was_refused_is_not_remembered(tokens: JwtTokens) -> None:
    with pytest.raises(NotAuthenticated):
        tokens.verify(signed(aud="else"), NOW)

    assert tokens._verified == {}


def test_what_is_remembered_is_bounded() -> None:
    tokens = JwtTokens(SECRET, "bellwire", timedelta(hours=1), remembered=3)

    for n in range(10):
        tokens.verify(signed(n=n), NOW)

    assert len(tokens._verified) <= 3


@pytest.mark.parametrize(("length", "good"), [(31, False), (32, True)])
def test_a_short_secret_is_refused(length: int, good: bool) -> None:
    if good:
        JwtTokens("é" * (length // 2), "bellwire", timedelta(hours=1)).mint(ADA, NOW)
    else:
        with pytest.raises(ValueError, match="32 bytes"):
            JwtTokens("x" * length, "bellwire", timedelta(hours=1))


def test_a_secret_before_this_one_must_be_long_too() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        JwtTokens(SECRET, "bellwire", timedelta(hours=1), previous="x" * 31)


class TestArgon2Passwords(contracts.PasswordsContract):
    @pytest.fixture
    def passwords(self) -> Passwords:
        return Argon2Passwords()


async def test_the_same_password_has_another_hash_each_time() -> None:
    passwords = Argon2Passwords()

    first, second = await passwords.hash("correct horse"), await passwords.hash("correct horse")

    assert first != second
    assert first.startswith("$argon2id$")


@pytest.mark.parametrize("held", ["", "x", "$argon2id$v=19$broken", "correct horse"])
async def test_a_hash_that_is_none_lets_nobody_in(held: str) -> None:
    assert not await Argon2Passwords().verify("correct horse", held)


class TestPrecisForms(contracts.TextFormsContract):
    @pytest.fixture
    def forms(self) -> TextForms:
        return PrecisForms()


# Where the rules of PRECIS look at more than one character.
TOGETHER = (
    "aZl -0\u00b7\u0375\u03b1\u05d0\u05f3\u0628\u094d\u200c\u200d\u0301"
    "\u0660\u0661\u06f0\u06f1\u30a2\u30fb\uff76"
)


@pytest.mark.parametrize("profile", [_USERNAME, _OPAQUE])
@given(text=st.text(TOGETHER, max_size=8) | st.text(max_size=8))
def test_a_form_is_what_the_library_makes_of_the_text(profile: Any, text: str) -> None:
    def outcome(form: Callable[[str], str]) -> object:
        try:
            return form(text)
        except UnicodeEncodeError as error:
            return error.start, error.end, error.reason.removeprefix("DISALLOWED/")

    assert outcome(lambda given: _enforced(profile, given)) == outcome(get_profile(profile.name).enforce)


@pytest.mark.parametrize("form", [PrecisForms().email, PrecisForms().password])
@given(
    text=st.text(max_size=10)
    | st.lists(st.text(TOGETHER + ".@xn-\u0130\u3002\u1e9e", max_size=6), max_size=3).map("@".join)
)
def test_every_text_has_a_form_which_has_itself_as_its_form_or_is_refused(
    form: Callable[[str], str], text: str
) -> None:
    try:
        found = form(text)
    except Invalid:
        return
    assert form(found) == found


@pytest.mark.parametrize("text", ["\u30fb" * 1000 + "\u30a2", "\u0660" * 1000, "\u06f0" * 1000])
def test_the_work_grows_with_the_length_of_a_text_and_not_with_its_square(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    def counted(question: str) -> None:
        ask = getattr(UnicodeData, question)

        def answer(self: UnicodeData, code_point: int) -> object:
            nonlocal asked
            asked += 1
            return ask(self, code_point)

        monkeypatch.setattr(UnicodeData, question, answer)

    for question in ("hiragana_katakana_han_script", "arabic_indic", "extended_arabic_indic"):
        counted(question)

    PrecisForms().password(text)

    assert 0 < asked < 10 * len(text)
