"""The container of commands that revoke single tokens, and its part in the API."""

from dependency_injector import providers

from adapters.postgres.revoked_tokens import PostgresRevokedTokens
from application import ports
from application.revoking import RevokeToken
from entrypoints.container.parts.postgres import WithPostgres
from entrypoints.container.parts.tokens import WithTokens


class SessionsContainer(WithPostgres, WithTokens):
    """For `bellwire revoke-token`."""

    revoked_tokens: providers.Provider[ports.RevokedTokens] = providers.Singleton(
        PostgresRevokedTokens, WithPostgres.engine
    )
    revoke_token: providers.Provider[RevokeToken] = providers.Singleton(
        RevokeToken,
        revoked_tokens=revoked_tokens,
        tokens=WithTokens.tokens,
        clock=WithPostgres.clock,
        longest=WithTokens.longest_token,
    )
