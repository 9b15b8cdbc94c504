"""The part of processes that issue and verify tokens of users and operators."""

from datetime import timedelta

from dependency_injector import providers

from adapters.security.tokens import JwtTokens
from application import ports
from entrypoints.container.parts.base import Base


class WithTokens(Base):
    """Issues and verifies tokens."""

    tokens: providers.Provider[ports.Tokens] = providers.Singleton(
        JwtTokens,
        Base.setting.token_secret,
        Base.setting.token_audience,
        providers.Factory(timedelta, seconds=Base.setting.token_seconds),
    )

    # With an audience of its own, so that neither kind is accepted as the other.
    operator_tokens: providers.Provider[ports.Tokens] = providers.Singleton(
        JwtTokens,
        Base.setting.token_secret,
        providers.Callable("{}:operator".format, Base.setting.token_audience),
        providers.Object(timedelta(seconds=60)),
    )
