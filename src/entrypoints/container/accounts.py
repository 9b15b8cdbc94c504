"""The container of commands that need PostgreSQL alone."""

from dependency_injector import providers

from application.keys import CreateApiKey, RevokeApiKey, RotateApiKey
from application.revoking import DisableUser, EnableUser, RevokeTokens
from entrypoints.container.parts.postgres import WithPostgres


class AccountsContainer(WithPostgres):
    """For the commands about keys and users."""

    create_api_key: providers.Provider[CreateApiKey] = providers.Singleton(
        CreateApiKey,
        keys=WithPostgres.api_keys,
        clock=WithPostgres.clock,
        new_token=WithPostgres.new_token,
        environment=WithPostgres.setting.environment,
    )
    rotate_api_key: providers.Provider[RotateApiKey] = providers.Singleton(
        RotateApiKey,
        keys=WithPostgres.api_keys,
        clock=WithPostgres.clock,
        new_token=WithPostgres.new_token,
        environment=WithPostgres.setting.environment,
    )
    revoke_api_key: providers.Provider[RevokeApiKey] = providers.Singleton(
        RevokeApiKey, keys=WithPostgres.api_keys, clock=WithPostgres.clock
    )
    disable_user: providers.Provider[DisableUser] = providers.Singleton(DisableUser, users=WithPostgres.users)
    enable_user: providers.Provider[EnableUser] = providers.Singleton(EnableUser, users=WithPostgres.users)
    revoke_tokens: providers.Provider[RevokeTokens] = providers.Singleton(
        RevokeTokens, users=WithPostgres.users
    )
