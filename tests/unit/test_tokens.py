"""Tokens of several issuers: two secrets, public keys, and what must never pass as a token."""

import asyncio
import json
import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from jwt.algorithms import HMACAlgorithm, RSAAlgorithm

from adapters.security.public_keys import PublicKeys, read_key_set
from adapters.security.reading import reader_of
from adapters.security.tokens import JwtTokens
from application.errors import NotAuthenticated, UnknownSigningKey
from domain.identifiers import UserId
from tests.build import ADA, NOW
from tests.tokens import (
    EC,
    EC_LARGE,
    ED,
    GOOD,
    OTHER_RSA,
    PEM,
    RSA,
    RSA_SMALL,
    SECRET,
    SET,
    by_key,
    hmac_of,
    jwk,
    key_set,
    part,
    signed,
)

PREVIOUS = SECRET[::-1]
HOUR = timedelta(hours=1)


class Shelf:
    """Where a set is read. It counts, and can fail."""

    def __init__(self, text: bytes = SET) -> None:
        self.text: bytes | OSError | ValueError = text
        self.read = 0

    async def __call__(self) -> bytes:
        self.read += 1
        if isinstance(self.text, Exception):
            raise self.text
        return self.text


class Seconds:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def verifier(text: bytes = SET, **options: Any) -> JwtTokens:
    keys = PublicKeys(Shelf(text), Seconds())
    await keys.renew()
    return JwtTokens(SECRET, "bellwire", HOUR, keys=keys, **options)


# --- what is good ---


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"), [(RSA, "RS256", "rsa"), (EC, "ES256", "ec"), (ED, "EdDSA", "ed")]
)
async def test_a_token_of_a_key_of_the_set_is_good(key: Any, algorithm: str, kid: str) -> None:
    assert (await verifier()).verify(by_key(key, algorithm, kid), NOW).user_id == ADA


async def test_a_token_without_a_kid_is_that_of_the_key_without_one() -> None:
    tokens = await verifier(key_set(jwk(EC), jwk(RSA, "rsa")))

    assert tokens.verify(by_key(EC, "ES256", None), NOW).user_id == ADA
    with pytest.raises(NotAuthenticated):
        tokens.verify(by_key(RSA, "RS256", None), NOW)


async def test_a_shared_secret_still_works_beside_keys() -> None:
    tokens = await verifier(key_set(jwk(EC)))

    assert tokens.verify(signed(), NOW).user_id == ADA


def test_tokens_of_the_previous_secret_are_good_and_none_is_minted_with_it() -> None:
    tokens = JwtTokens(SECRET, "bellwire", HOUR, previous=PREVIOUS)

    assert tokens.verify(signed(key=PREVIOUS), NOW).user_id == ADA
    assert tokens.verify(signed(), NOW).user_id == ADA
    with pytest.raises(NotAuthenticated):
        tokens.verify(signed(key="x" * 32), NOW)
    minted, _ = tokens.mint(ADA, NOW)
    assert JwtTokens(SECRET, "bellwire", HOUR).verify(minted, NOW).user_id == ADA


def test_the_user_may_be_in_another_claim() -> None:
    tokens = JwtTokens(SECRET, "bellwire", HOUR, claim="https://example.com/user")

    assert tokens.verify(signed(GOOD | {"sub": 7, "https://example.com/user": "eve"}), NOW).user_id == "eve"
    assert tokens.verify(tokens.mint(ADA, NOW)[0], NOW).user_id == ADA
    for wrong in (signed(), signed(GOOD | {"https://example.com/user": 7})):
        with pytest.raises(NotAuthenticated):
            tokens.verify(wrong, NOW)


async def test_the_issuer_counts_when_it_is_set() -> None:
    tokens = await verifier(issuer="https://id.example.com")

    for good in (
        signed(iss="https://id.example.com"),
        by_key(RSA, "RS256", "rsa", iss="https://id.example.com"),
        tokens.mint(ADA, NOW)[0],
    ):
        assert tokens.verify(good, NOW).user_id == ADA
    number = hmac_of(SECRET.encode(), {"alg": "HS256"}, GOOD | {"iss": 7})
    near = signed(iss="https://id.example.com/")
    for wrong in (signed(), near, number, by_key(EC, "ES256", "ec")):
        with pytest.raises(NotAuthenticated):
            tokens.verify(wrong, NOW)


@pytest.mark.parametrize(("seconds", "good"), [(600, True), (601, False)])
def test_a_token_that_is_valid_for_too_long_is_refused(seconds: int, good: bool) -> None:
    tokens = JwtTokens(SECRET, "bellwire", HOUR, longest=timedelta(minutes=10))
    token = signed(exp=GOOD["iat"] + seconds)

    if good:
        tokens.verify(token, NOW)
    else:
        with pytest.raises(NotAuthenticated, match="too long"):
            tokens.verify(token, NOW)


@pytest.mark.parametrize("claim", ["iat", "nbf"])
@pytest.mark.parametrize(("ahead", "good"), [(5, True), (6, False)])
def test_clocks_may_be_ahead_by_the_skew(claim: str, ahead: int, good: bool) -> None:
    tokens = JwtTokens(SECRET, "bellwire", HOUR, skew=timedelta(seconds=5))
    token = signed(GOOD | {claim: NOW.timestamp() + ahead})

    if good:
        tokens.verify(token, NOW)
    else:
        with pytest.raises(NotAuthenticated, match="not valid yet"):
            tokens.verify(token, NOW)


@pytest.mark.parametrize(("ahead", "good"), [(60, True), (61, False)])
def test_our_own_clocks_may_differ_by_a_minute_whatever_the_skew(ahead: int, good: bool) -> None:
    tokens = JwtTokens(SECRET, "bellwire", HOUR, skew=timedelta(0))
    token, _ = tokens.mint(ADA, NOW + timedelta(seconds=ahead))

    if good:
        assert tokens.verify(token, NOW).issued_at == NOW + timedelta(seconds=ahead)
    else:
        with pytest.raises(NotAuthenticated, match="not valid yet"):
            tokens.verify(token, NOW)


# --- what is not ---

SELF_MADE = jwk(OTHER_RSA, "rsa")
BAD: dict[str, Callable[[], str]] = {
    "no algorithm": lambda: f"{part({'alg': 'none', 'kid': 'rsa'})}.{part(GOOD)}.",
    "the public key as an HMAC secret": lambda: hmac_of(PEM, {"alg": "HS256", "kid": "rsa"}),
    "the set as an HMAC secret": lambda: hmac_of(SET, {"alg": "HS256", "kid": "rsa"}),
    "the modulus as an HMAC secret": lambda: hmac_of(jwk(RSA)["n"].encode(), {"alg": "HS256", "kid": "rsa"}),
    "an HMAC that says it is RSA": lambda: hmac_of(SECRET.encode(), {"alg": "RS256", "kid": "rsa"}),
    "another algorithm of the key's family": lambda: by_key(RSA, "RS512", "rsa"),
    "PSS": lambda: by_key(RSA, "PS256", "rsa"),
    "the key of another kid": lambda: by_key(RSA, "RS256", "ec"),
    "another key of that kid": lambda: by_key(OTHER_RSA, "RS256", "rsa"),
    "a key in the header": lambda: by_key(OTHER_RSA, "RS256", "rsa", {"jwk": SELF_MADE}),
    "an unknown kid": lambda: by_key(RSA, "RS256", "newer"),
    "no kid": lambda: by_key(RSA, "RS256", None),
    "a kid that is a list": lambda: hmac_of(b"", {"alg": "RS256", "kid": ["rsa"]}),
    "a kid that is an object": lambda: hmac_of(b"", {"alg": "RS256", "kid": {}}),
    "a kid that is a path": lambda: by_key(RSA, "RS256", "../../dev/null"),
    "a header that is a list": lambda: f"{part(['alg'])}.{part(GOOD)}.x",
    "no alg": lambda: f"{part({'kid': 'rsa'})}.{part(GOOD)}.x",
    "an alg that is a list": lambda: f"{part({'alg': ['HS256'], 'kid': 'rsa'})}.{part(GOOD)}.x",
    "another audience": lambda: by_key(RSA, "RS256", "rsa", aud="else"),
    "the audience of operators": lambda: signed(aud="bellwire:operator"),
    "no audience": lambda: by_key(RSA, "RS256", "rsa", aud=...),
    "no expiry": lambda: by_key(RSA, "RS256", "rsa", exp=...),
    "no issue time": lambda: by_key(RSA, "RS256", "rsa", iat=...),
    "expired": lambda: by_key(RSA, "RS256", "rsa", exp=int(NOW.timestamp()) - 1),
    "not valid yet": lambda: by_key(RSA, "RS256", "rsa", nbf=NOW.timestamp() + 61),
    "issued in the future": lambda: by_key(RSA, "RS256", "rsa", iat=NOW.timestamp() + 61),
    "a time that is true": lambda: signed(iat=True),
    "a time before that is true": lambda: signed(nbf=True),
    "valid for eleven years": lambda: signed(exp=GOOD["iat"] + 11 * 365 * 86_400),
    "an unknown critical header": lambda: by_key(RSA, "RS256", "rsa", {"crit": ["x"], "x": 1}),
    "a type of its own": lambda: by_key(RSA, "RS256", "rsa", {"typ": "logout+jwt"}),
    "a refresh token": lambda: signed(token_type="refresh"),
    "a refresh token by typ": lambda: signed(typ="Refresh"),
    "a refresh token by token_use": lambda: by_key(RSA, "RS256", "rsa", token_use="refresh"),
    "a user that is nobody": lambda: by_key(RSA, "RS256", "rsa", sub="ada lovelace"),
    "a jti that is a number": lambda: signed(jti=7),
    "more than 8 KiB": lambda: signed(more="x" * 9_000),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_is_wrong_in_any_way_is_refused(name: str) -> None:
    tokens = await verifier(previous=PREVIOUS)

    with pytest.raises(NotAuthenticated) as caught:
        tokens.verify(BAD[name](), NOW)

    assert isinstance(caught.value, UnknownSigningKey) == (
        name in {"an unknown kid", "no kid"} or "path" in name
    )
    assert tokens._verified == {}


async def test_without_keys_there_are_no_other_algorithms() -> None:
    tokens = JwtTokens(SECRET, "bellwire", HOUR)

    with pytest.raises(NotAuthenticated) as caught:
        tokens.verify(by_key(RSA, "RS256", "rsa"), NOW)

    assert not isinstance(caught.value, UnknownSigningKey)
    assert not await tokens.renew_keys()


# --- the identity of one token ---


async def test_another_signature_of_the_same_text_is_the_same_token() -> None:
    """ECDSA: with (r, s), (r, n - s) is a signature too."""
    tokens = await verifier()
    token = by_key(EC, "ES256", "ec")
    text, _, signature = token.rpartition(".")
    raw = jwt.utils.base64url_decode(signature)
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    other = raw[:32] + (order - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    twin = f"{text}.{jwt.utils.base64url_encode(other).decode()}"

    assert twin != token
    assert tokens.verify(twin, NOW).token_id == tokens.verify(token, NOW).token_id


def test_tokens_are_told_apart_by_jti_and_user() -> None:
    tokens = JwtTokens(SECRET, "bellwire", HOUR)
    one, again = signed(jti="a", n=1), signed(jti="a", n=2)
    others = [signed(jti="b"), signed(jti="a", sub="bob"), signed(n=1), signed(n=2)]

    ids = {tokens.verify(token, NOW).token_id for token in (one, again, *others)}

    assert len(ids) == 5
    assert all(len(each) == 32 for each in ids)


# --- the set ---


@pytest.mark.parametrize(
    "unusable",
    [
        {"kty": "oct", "kid": "x", "k": jwt.utils.base64url_encode(SECRET.encode()).decode()},
        jwk(RSA_SMALL, "x"),
        jwk(EC_LARGE, "x"),
        jwk(RSA, "x", alg="HS256"),
        jwk(RSA, "x", alg="RS512"),
        jwk(RSA, "x", alg=["RS256"]),
        jwk(RSA, "x", use="enc"),
        jwk(RSA, "x", key_ops=["encrypt"]),
        jwk(RSA, "x", key_ops=7),
        jwk(RSA, "x", n="!"),
        jwk(RSA) | {"kid": 7},
        jwk(RSA, "ec"),  # again
        RSAAlgorithm.to_jwk(RSA, as_dict=True) | {"kid": "x"},
        {"kid": "x"},
        {"kty": [], "kid": "x"},
        "rsa",
        None,
    ],
)
def test_a_key_that_cannot_verify_is_left_out(unusable: Any, caplog: pytest.LogCaptureFixture) -> None:
    keys = read_key_set(key_set(jwk(EC, "ec"), unusable))

    assert list(keys) == ["ec"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "key 1 of the set is not used" in caplog.text


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ({"kty": "oct", "kid": "x", "k": "eA"}, "its kty is not RSA, EC or OKP"),
        (RSAAlgorithm.to_jwk(RSA, as_dict=True) | {"kid": "x"}, "it is a private key"),
    ],
)
def test_a_secret_in_a_set_is_reported(
    secret: dict[str, Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    read_key_set(key_set(jwk(EC, "ec"), secret))

    assert reason in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b"7",
        b"{" * 10_000,
        b"[" * 100_000,
        b"\xff",
        key_set(),
        json.dumps({"keys": {"rsa": jwk(RSA)}}).encode(),
        key_set({"kty": "oct", "kid": "x", "k": "eA"}),
        key_set(*[jwk(EC, str(n)) for n in range(101)]),
    ],
)
def test_what_is_no_set_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"(?i)set"):
        read_key_set(text)


async def test_a_new_key_is_found_when_a_token_names_it_and_an_old_one_is_gone() -> None:
    shelf, seconds = Shelf(key_set(jwk(RSA, "old"))), Seconds()
    keys = PublicKeys(shelf, seconds)
    await keys.renew()
    tokens = JwtTokens(SECRET, "bellwire", HOUR, keys=keys)
    old, new = by_key(RSA, "RS256", "old"), by_key(EC, "ES256", "new")
    tokens.verify(old, NOW)
    shelf.text = key_set(jwk(EC, "new"))
    seconds.now += 30

    with pytest.raises(UnknownSigningKey):
        tokens.verify(new, NOW)
    assert await tokens.renew_keys()

    assert tokens.verify(new, NOW).user_id == ADA
    with pytest.raises(NotAuthenticated):  # although it was verified before
        tokens.verify(old, NOW)


async def test_tokens_with_unknown_keys_do_not_make_it_read_more_often() -> None:
    shelf, seconds = Shelf(), Seconds()
    keys = PublicKeys(shelf, seconds)
    await keys.renew()

    for _ in range(100):
        seconds.now += 1
        await asyncio.gather(*(keys.renew() for _ in range(10)))

    assert shelf.read == 1 + 100 // 30


async def test_those_that_come_while_it_reads_wait_for_the_same_answer() -> None:
    release, shelf = asyncio.Event(), Shelf()

    async def slow() -> bytes:
        await release.wait()
        return await shelf()

    keys = PublicKeys(slow, Seconds())
    waiting = [asyncio.create_task(keys.renew()) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # a client that leaves does not end it for the others
    release.set()

    assert await asyncio.gather(*waiting[1:]) == [True] * 4
    assert shelf.read == 1


@pytest.mark.parametrize("broken", [OSError("refused"), ValueError("the answer is 500"), b"{}", b"<html>"])
async def test_the_last_good_keys_stay_when_they_cannot_be_read(
    broken: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    shelf, seconds = Shelf(), Seconds()
    keys = PublicKeys(shelf, seconds)
    await keys.renew()
    shelf.text = broken

    for _ in range(3):
        seconds.now += 60
        assert not await keys.renew()

    assert keys.find("rsa") is not None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    shelf.text = key_set(jwk(EC, "ec"))
    seconds.now += 60
    assert await keys.renew()
    assert keys.find("rsa") is None


async def test_the_set_is_read_again_and_again() -> None:
    shelf = Shelf()
    keys = PublicKeys(shelf, Seconds(), every_seconds=0.001, pause_seconds=0)
    running = asyncio.create_task(keys.run())
    try:
        async with asyncio.timeout(60):
            while shelf.read < 3:  # noqa: ASYNC110 - what it waits for has no event
                await asyncio.sleep(0.001)
    finally:
        running.cancel()


# --- where it is read ---


async def test_a_set_is_read_from_a_file_and_bounded(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(SET)
    assert await reader_of(str(file))() == SET

    file.write_bytes(SET + b" " * 300_000)
    with pytest.raises(ValueError, match="262144"):
        await reader_of(str(file))()


def test_a_minted_token_says_who_minted_it() -> None:
    tokens = JwtTokens(SECRET, "bellwire", HOUR)
    token, _ = tokens.mint(UserId("eve"), NOW)

    assert tokens.verify(token, NOW).issued_at == NOW


def test_a_secret_is_examined_once_not_for_each_token(monkeypatch: pytest.MonkeyPatch) -> None:
    examined: list[object] = []
    prepare = HMACAlgorithm.prepare_key

    def noted(algorithm: HMACAlgorithm, key: str | bytes) -> bytes:
        examined.append(key)
        return prepare(algorithm, key)

    secret = "a secret that only this test has, of at least 32 bytes"
    tokens = JwtTokens(secret, "bellwire", HOUR)
    minted = [tokens.mint(UserId(f"u{nth}"), NOW)[0] for nth in range(3)]
    monkeypatch.setattr(HMACAlgorithm, "prepare_key", noted)

    users = [tokens.verify(token, NOW).user_id for token in minted]

    assert users == ["u0", "u1", "u2"]
    assert examined == [secret.encode()]
