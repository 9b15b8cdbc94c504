"""JwtTokens."""

from datetime import UTC, datetime, timedelta

import jwt

from application.credentials import Claims
from application.errors import NotAuthenticated
from domain.identifiers import UserId, is_user_id

_ALGORITHM = "HS256"
_REMEMBERED = 10_000
SECRET_BYTES = 32
# Issuers have clocks of their own: a token issued slightly in the future is valid (RFC 7519, section 4.1.5).
_LEEWAY_SECONDS = 60


class JwtTokens:
    """User tokens as JWT (RFC 7519). Anyone with the secret can issue them: the host application does so for
    its users, with `sub`, `iat`, `exp` and the audience. A token without `iat` is refused, because it cannot
    be compared with a revocation.
    """

    def __init__(
        self, secret: str, audience: str, lifetime: timedelta, *, remembered: int = _REMEMBERED
    ) -> None:
        """The outcome of `remembered` verifications is kept."""
        if len(secret.encode()) < SECRET_BYTES:
            message = f"the token secret must have at least {SECRET_BYTES} bytes"
            raise ValueError(message)
        self._secret = secret
        self._audience = audience
        self._lifetime = lifetime
        self._remembered = remembered
        self._verified: dict[str, Claims] = {}

    def mint(self, user: UserId, at: datetime) -> tuple[str, int]:
        # With a fraction, as a NumericDate may have (RFC 7519, section 2): a token issued right after a
        # revocation must not count among those revoked.
        issued = at.timestamp()
        claims = {"sub": user, "aud": self._audience, "iat": issued, "exp": at + self._lifetime}
        return jwt.encode(claims, self._secret, _ALGORITHM), int(self._lifetime.total_seconds())

    def verify(self, token: str, at: datetime) -> Claims:
        """Verify a token. That costs more than the rest of a request, so results are cached until they
        expire.
        """
        claims = self._verified.get(token)
        if claims is None:
            claims = self._decode(token)
            if len(self._verified) >= self._remembered:
                self._verified.clear()
            self._verified[token] = claims
        if claims.expires_at <= at:
            self._verified.pop(token, None)
            raise NotAuthenticated("This token has expired.")
        return claims

    def _decode(self, token: str) -> Claims:
        try:
            payload = jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                audience=self._audience,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["sub", "iat", "exp"], "verify_exp": False},
            )
            claims = Claims(
                UserId(str(payload["sub"])),
                expires_at=datetime.fromtimestamp(payload["exp"], UTC),
                issued_at=datetime.fromtimestamp(payload["iat"], UTC),
            )
        except (jwt.InvalidTokenError, OverflowError, OSError, ValueError, TypeError) as error:
            raise NotAuthenticated("This token is not valid.") from error
        if not is_user_id(claims.user_id):  # a ticket for it could not be stored or read again
            raise NotAuthenticated("This token is not valid: its sub is not a user id.")
        return claims
