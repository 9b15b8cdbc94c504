"""The part of processes that create and look up users, and hash passwords."""

from dependency_injector import providers

from adapters import clock as system
from adapters.security.forms import PrecisForms
from adapters.security.passwords import Argon2Passwords
from application import ports
from application.accounts import CreateUser
from application.users import FindUser, ListUsers, PutUser
from entrypoints.container.parts.postgres import WithPostgres


class WithSignup(WithPostgres):
    """Creates users and looks them up."""

    passwords: providers.Provider[ports.Passwords] = providers.Singleton(Argon2Passwords)
    forms: providers.Provider[ports.TextForms] = providers.Singleton(PrecisForms)
    put_user: providers.Provider[PutUser] = providers.Singleton(
        PutUser,
        users=WithPostgres.users,
        directory=WithPostgres.directory,
        forms=forms,
        clock=WithPostgres.clock,
    )
    find_user: providers.Provider[FindUser] = providers.Singleton(FindUser, users=WithPostgres.users)
    list_users: providers.Provider[ListUsers] = providers.Singleton(
        ListUsers, directory=WithPostgres.directory, forms=forms
    )
    create_user: providers.Provider[CreateUser] = providers.Singleton(
        CreateUser,
        users=WithPostgres.users,
        passwords=passwords,
        forms=forms,
        clock=WithPostgres.clock,
        new_user_id=providers.Object(system.new_user_id),
    )
