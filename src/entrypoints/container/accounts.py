"""The container of commands that need PostgreSQL alone."""

from dependency_injector import providers

from adapters.postgres.erasures import PostgresErasures
from adapters.postgres.exports import PostgresExports
from application import ports
from application.auditing import ListAudit
from application.erasing import EraseUser, FindErasure
from application.exporting import ExportUser
from application.keys import CreateApiKey, RevokeApiKey, RotateApiKey
from application.preferences import ListCategories, SetCategory
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
    erasures: providers.Provider[ports.Erasures] = providers.Singleton(PostgresErasures, WithPostgres.engine)
    exports: providers.Provider[ports.Exports] = providers.Singleton(PostgresExports, WithPostgres.engine)
    erase_user: providers.Provider[EraseUser] = providers.Singleton(EraseUser, erasures=erasures)
    find_erasure: providers.Provider[FindErasure] = providers.Singleton(FindErasure, erasures=erasures)
    export_user: providers.Provider[ExportUser] = providers.Singleton(
        ExportUser, exports=exports, audit=WithPostgres.audit_trail
    )
    list_audit: providers.Provider[ListAudit] = providers.Singleton(ListAudit, audit=WithPostgres.audit_trail)
    list_categories: providers.Provider[ListCategories] = providers.Singleton(
        ListCategories, categories=WithPostgres.categories
    )
    set_category: providers.Provider[SetCategory] = providers.Singleton(
        SetCategory, categories=WithPostgres.categories
    )
    disable_user: providers.Provider[DisableUser] = providers.Singleton(DisableUser, users=WithPostgres.users)
    enable_user: providers.Provider[EnableUser] = providers.Singleton(EnableUser, users=WithPostgres.users)
    revoke_tokens: providers.Provider[RevokeTokens] = providers.Singleton(
        RevokeTokens, users=WithPostgres.users
    )
