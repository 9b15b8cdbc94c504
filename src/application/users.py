"""Users, as applications keep them up to date and operators look them up."""

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from application.audit import THE_SERVICE, Action, By, Entry, note
from application.credentials import ApiKey
from application.directory import Put, UserPage, UserSearch
from application.errors import NotAllowed
from application.ports import Clock, TextForms, UserDirectory, Users
from domain.errors import FieldError, Invalid, UnknownUser, UserTaken, gathered
from domain.identifiers import ID_PREFIX, ID_PREFIX_RULE, UserId, is_user_id
from domain.user import NAME_LENGTH, User, earlier_email, is_name_part


class Keep:
    """The type of KEEP."""


KEEP: Final = Keep()
"""Instead of an address: the one that the user has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PutUser:
    """Create a user, or change its name and address. Repeating it changes nothing.

    Raises Invalid, UserTaken, NotAllowed.
    """

    users: Users
    directory: UserDirectory
    forms: TextForms
    clock: Clock

    async def __call__(
        self,
        user_id: UserId,
        name: str,
        email: str | Keep | None = KEEP,
        *,
        key: ApiKey | None = None,
        by: By = THE_SERVICE,
    ) -> Put:
        """`key` is the producer's. A new user has no address unless one is given."""
        typed = None if isinstance(email, Keep) else email
        if typed is not None:
            check_may_give_addresses(key)
        user = self._checked(user_id, name, typed)
        earlier = None if typed is None else earlier_email(typed)
        if earlier not in {None, user.email} and await self.users.has_address(earlier, besides=user_id):
            raise UserTaken
        entry = partial(Entry, by, target=user_id)
        put = await self.directory.put(
            user,
            keeps_email=isinstance(email, Keep),
            created=entry(action=Action.USER_CREATED),
            changed=entry(action=Action.USER_CHANGED),
        )
        if put.entry is not None:
            note(put.entry)
        return put

    def _checked(self, user_id: UserId, name: str, email: str | None) -> User:
        broken: list[FieldError] = []
        address = None
        with gathered(broken):
            if email is not None:
                address = self.forms.email(email)
        with gathered(broken):
            user = User(id=user_id, name=name, email=address, created_at=self.clock())
        if broken:
            raise Invalid(broken)
        return user


@dataclass(frozen=True, slots=True, kw_only=True)
class FindUser:
    """The user with this id. Raises UnknownUser."""

    users: Users

    async def __call__(self, user: UserId) -> User:
        if not is_user_id(user):
            raise UnknownUser
        return await self.users.get(user)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListUsers:
    """List users by id, or find some. Raises Invalid, NotAllowed."""

    directory: UserDirectory
    forms: TextForms

    async def __call__(
        self,
        limit: int,
        after: str | None = None,
        *,
        prefix: str | None = None,
        email: str | None = None,
        name: str | None = None,
        key: ApiKey | None = None,
    ) -> UserPage:
        """Those whose ids begin with `prefix`, who have the address and whose name contains `name`, as far as
        the key may touch them.
        """
        _check(prefix, name, after)
        emails = None if email is None else self._forms_of(email)
        search = UserSearch(prefix=_within(key, prefix or ""), emails=emails, name=name or "")
        return await self.directory.page(search, limit, None if after is None else UserId(after))

    def _forms_of(self, email: str) -> list[str]:
        """The canonical form, and that of earlier releases. Raises Invalid if it has neither."""
        earlier = earlier_email(email)
        if earlier is None:
            return [self.forms.email(email)]
        with suppress(Invalid):
            return list(dict.fromkeys([earlier, self.forms.email(email)]))
        return [earlier]


def check_may_give_addresses(key: ApiKey | None) -> None:
    """Raise NotAllowed for a key that is limited to a prefix: addresses are unique in the whole service, so
    the answer would reveal users beyond it.
    """
    if key is not None and key.user_prefix is not None:
        raise NotAllowed("An API key that is limited to a prefix cannot give users e-mail addresses.")


def _check(prefix: str | None, name: str | None, after: str | None) -> None:
    broken = []
    if prefix is not None and ID_PREFIX.fullmatch(prefix) is None:
        broken.append(FieldError("prefix", ID_PREFIX_RULE))
    if name is not None and not is_name_part(name):
        broken.append(FieldError("name", f"must have 1 to {NAME_LENGTH} characters"))
    if after is not None and not is_user_id(after):
        broken.append(FieldError("cursor", "is not a cursor of this service"))
    if broken:
        raise Invalid(broken)


def _within(key: ApiKey | None, prefix: str) -> str:
    """What ids begin with that begin with `prefix` and that the key may touch. Raises NotAllowed if none
    can.
    """
    own = None if key is None else key.user_prefix
    if key is None or own is None:
        return prefix
    if own.startswith(prefix):
        return own
    key.check(prefix)
    return prefix
