"""JwtTokens."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import jwt
from jwt.algorithms import HMACAlgorithm
from jwt.types import Options
from jwt.utils import base64url_encode

from adapters.security.public_keys import PublicKeys
from application.credentials import Claims, token_id
from application.errors import NotAuthenticated, UnknownSigningKey
from domain.identifiers import UserId, is_user_id

_HMAC = "HS256"
_REMEMBERED = 10_000
SECRET_BYTES = 32
_MOST_CHARACTERS = 8 * 1024
_LONGEST = timedelta(days=3650)
_SKEW = timedelta(seconds=60)
_MINTED_BY = ("minted_by", "bellwire")
# Where issuers say that a token only gets other tokens.
_PURPOSES = ("typ", "type", "token_type", "token_use")
# What PyJWT would compare with its own clock is compared with ours.
_LEFT_TO_US: Options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_sub": False}


class JwtTokens:
    """User tokens as JWT (RFC 7519). The host application issues them for its users: with a shared secret
    (HS256), or with a private key whose public part is among `keys` (RS256, ES256, EdDSA). A token never
    chooses how it is verified: the secrets are used for HS256 only, each public key for its one algorithm.

    A token has the user's id, `aud`, `iat` and `exp`. Without `iat` it is refused, because it could not be
    compared with a revocation.
    """

    def __init__(
        self,
        secret: str,
        audience: str,
        lifetime: timedelta,
        *,
        previous: str = "",
        keys: PublicKeys | None = None,
        issuer: str = "",
        claim: str = "sub",
        longest: timedelta = _LONGEST,
        skew: timedelta = _SKEW,
        remembered: int = _REMEMBERED,
    ) -> None:
        """Tokens of the `previous` secret are still accepted. `claim` holds the user's id. Tokens that are
        valid for more than `longest` are refused. Clocks of issuers may be ahead by up to `skew`. The outcome
        of `remembered` verifications is kept.
        """
        secrets = [each for each in (secret, previous) if each]
        if not secret or any(len(each.encode()) < SECRET_BYTES for each in secrets):
            message = f"the token secret must have at least {SECRET_BYTES} bytes"
            raise ValueError(message)
        self._secret = secret
        self._secrets: Sequence[jwt.PyJWK] = list(map(_key_of, secrets))
        self._audience = audience
        self._lifetime = lifetime
        self._keys = keys
        self._keys_version = 0
        self._issuer = issuer
        self._claim = claim
        self._longest = longest
        self._skew = skew
        self._options: Options = {**_LEFT_TO_US, "require": [claim, "iat", "exp"]}
        self._remembered = remembered
        self._verified: dict[str, Claims] = {}

    def mint(self, user: UserId, at: datetime) -> tuple[str, int]:
        # With a fraction, as a NumericDate may have (RFC 7519, section 2): a token issued right after a
        # revocation must not count among those revoked.
        issued = at.timestamp()
        claims = {"sub": user, self._claim: user, "aud": self._audience, "iat": issued}
        claims |= {"exp": at + self._lifetime, _MINTED_BY[0]: _MINTED_BY[1]}
        if self._issuer:
            claims["iss"] = self._issuer
        return jwt.encode(claims, self._secret, _HMAC), int(self._lifetime.total_seconds())

    async def renew_keys(self) -> bool:
        return self._keys is not None and await self._keys.renew()

    def verify(self, token: str, at: datetime) -> Claims:
        """Verify a token. That costs more than the rest of a request, so results are cached until they
        expire, or the keys change.
        """
        if self._keys is not None and self._keys.version != self._keys_version:
            self._verified.clear()
            self._keys_version = self._keys.version
        claims = self._verified.get(token)
        if claims is None:
            claims = self._decode(token, at)
            if len(self._verified) >= self._remembered:
                self._verified.clear()
            self._verified[token] = claims
        if claims.expires_at <= at:
            self._verified.pop(token, None)
            raise NotAuthenticated("This token has expired.")
        return claims

    def _decode(self, token: str, at: datetime) -> Claims:
        if len(token) > _MOST_CHARACTERS:
            raise NotAuthenticated(f"This token has more than {_MOST_CHARACTERS} characters.")
        try:
            decoded = self._decoded(token)
            header, payload = decoded["header"], decoded["payload"]
            _check_type(header, payload)
            return self._claims(token, payload, at)
        except (jwt.PyJWTError, OverflowError, OSError, ValueError, TypeError, RecursionError) as error:
            raise NotAuthenticated("This token is not valid.") from error

    def _decoded(self, token: str) -> Mapping[str, Any]:
        """The header and the payload of a token that is signed as it should be. The algorithm in its header
        decides only whether it can be the secrets' or the public keys'.
        """
        if self._keys is not None:
            header = jwt.get_unverified_header(token)
            if header["alg"] != _HMAC:
                key = self._keys.find(header.get("kid"))
                if key is None:
                    raise UnknownSigningKey
                return self._checked(token, key.key, key.algorithm)
        return self._of_secrets(token)

    def _of_secrets(self, token: str) -> Mapping[str, Any]:
        *others, last = self._secrets
        for secret in others:
            try:
                return self._checked(token, secret, _HMAC)
            except jwt.InvalidSignatureError:
                continue
        return self._checked(token, last, _HMAC)

    def _checked(self, token: str, key: Any, algorithm: str) -> Mapping[str, Any]:
        return jwt.decode_complete(
            token,
            key,
            algorithms=[algorithm],
            audience=self._audience,
            issuer=self._issuer or None,
            options=self._options,
        )

    def _claims(self, token: str, payload: Mapping[str, Any], at: datetime) -> Claims:
        user, issued, expires = payload[self._claim], _time(payload["iat"]), _time(payload["exp"])
        if not isinstance(user, str) or not is_user_id(user):  # a ticket for it could not be read again
            raise NotAuthenticated(f"This token is not valid: its {self._claim} is not a user id.")
        ours = payload.get(_MINTED_BY[0]) == _MINTED_BY[1]
        # After a revocation ours are issued by the clock of the store, which may be ahead, too.
        ahead = max(self._skew, _SKEW) if ours else self._skew
        if max(issued, _time(payload.get("nbf", payload["iat"]))) > at + ahead:
            raise NotAuthenticated("This token is not valid yet.")
        if expires - issued > self._longest:
            raise NotAuthenticated("This token is not valid: exp is too long after iat.")
        # Another issuer's clock may have been ahead, and a revocation must not miss its tokens.
        return Claims(
            UserId(user),
            expires_at=expires,
            issued_at=issued if ours else issued - self._skew,
            token_id=_token_id(user, token, payload),
        )


class _Hmac(HMACAlgorithm):
    """Examines each secret once. PyJWT tries for each token whether the secret is a key of some other kind,
    which takes longer than everything else.
    """

    @cache  # noqa: B019 - there is one object, and it lives as long as the process
    def prepare_key(self, key: str | bytes) -> bytes:
        return super().prepare_key(key)


_ALGORITHM = _Hmac(HMACAlgorithm.SHA256)


def _key_of(secret: str) -> jwt.PyJWK:
    key = jwt.PyJWK({"kty": "oct", "k": base64url_encode(secret.encode()).decode()}, _HMAC)
    key.Algorithm = _ALGORITHM
    return key


def _check_type(header: Mapping[str, Any], payload: Mapping[str, Any]) -> None:
    typ = str(header.get("typ", "JWT")).lower().removeprefix("application/")
    if typ.endswith("+jwt") and typ != "at+jwt":  # such as logout+jwt (RFC 8725 §3.11)
        raise NotAuthenticated("This token is not valid: its typ is that of another kind.")
    if any(str(payload.get(name)).lower() == "refresh" for name in _PURPOSES):
        raise NotAuthenticated("This token is not valid: it is a refresh token.")


def _time(value: Any) -> datetime:
    """The time of a NumericDate. Raises ValueError, TypeError, OverflowError, OSError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError("not a NumericDate")
    return datetime.fromtimestamp(value, UTC)


def _token_id(user: str, token: str, payload: Mapping[str, Any]) -> str:
    """A token without a `jti` has its signed text as its identity: the signature may be spelled in several
    ways, and ECDSA has several for one text.
    """
    if payload.get("jti"):
        return token_id(user, payload["jti"])
    return hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()[:32]
