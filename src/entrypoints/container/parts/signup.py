"""The part of processes that create users and hash passwords."""

from dependency_injector import providers

from adapters import clock as system
from adapters.security.forms import PrecisForms
from adapters.security.passwords import Argon2Passwords
from application import ports
from application.accounts import CreateUser
from entrypoints.container.parts.postgres import WithPostgres


class WithSignup(WithPostgres):
    """Creates users."""

    passwords: providers.Provider[ports.Passwords] = providers.Singleton(Argon2Passwords)
    forms: providers.Provider[ports.TextForms] = providers.Singleton(PrecisForms)
    create_user: providers.Provider[CreateUser] = providers.Singleton(
        CreateUser,
        users=WithPostgres.users,
        passwords=passwords,
        forms=forms,
        clock=WithPostgres.clock,
        new_user_id=providers.Object(system.new_user_id),
    )
