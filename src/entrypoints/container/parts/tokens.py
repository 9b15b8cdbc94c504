"""The part of processes that issue and verify tokens of users and operators."""

from datetime import timedelta

from dependency_injector import providers

from adapters.security.public_keys import PublicKeys
from adapters.security.reading import reader_of
from adapters.security.tokens import JwtTokens
from application import ports
from entrypoints.container.parts.base import Base
from entrypoints.outgoing import proxy_for


def _public_keys(where: str, now: ports.Monotonic) -> PublicKeys | None:
    return PublicKeys(reader_of(where, proxy_for(where)), now) if where else None


def _operator_tokens(secret: str, audience: str) -> ports.Tokens | None:
    # With an audience of its own too, so that neither kind is accepted as the other.
    minute = timedelta(seconds=60)
    return JwtTokens(secret, f"{audience}:operator", minute, longest=minute) if secret else None


class WithTokens(Base):
    """Issues and verifies tokens."""

    public_keys: providers.Provider[PublicKeys | None] = providers.Singleton(
        _public_keys, Base.setting.token_jwks, Base.now
    )
    longest_token: providers.Provider[timedelta] = providers.Factory(
        timedelta, seconds=Base.setting.token_max_seconds
    )
    tokens: providers.Provider[ports.Tokens] = providers.Singleton(
        JwtTokens,
        Base.setting.token_secret,
        Base.setting.token_audience,
        providers.Factory(timedelta, seconds=Base.setting.token_seconds),
        previous=Base.setting.token_secret_previous,
        keys=public_keys,
        issuer=Base.setting.token_issuer,
        claim=Base.setting.token_claim,
        longest=longest_token,
        skew=providers.Factory(timedelta, seconds=Base.setting.token_skew_seconds),
    )
    operator_tokens: providers.Provider[ports.Tokens | None] = providers.Singleton(
        _operator_tokens, Base.setting.operator_secret, Base.setting.token_audience
    )
