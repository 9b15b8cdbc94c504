"""Tokens of users and operators."""

from datetime import timedelta

from dependency_injector import providers

from adapters.security.tokens import JwtTokens
from application import ports
from entrypoints.container.parts.base import Base


class WithTokens(Base):
    """Makes and reads tokens."""

    tokens: providers.Provider[ports.Tokens] = providers.Singleton(
        JwtTokens,
        Base.setting.token_secret,
        Base.setting.token_audience,
        providers.Factory(timedelta, seconds=Base.setting.token_seconds),
    )

    # Of an audience of its own, so that neither is good for the other's purpose.
    operator_tokens: providers.Provider[ports.Tokens] = providers.Singleton(
        JwtTokens,
        Base.setting.token_secret,
        providers.Callable("{}:operator".format, Base.setting.token_audience),
        providers.Object(timedelta(seconds=60)),
    )
