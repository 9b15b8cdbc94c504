"""Changing and setting passwords."""

from dataclasses import dataclass
from functools import partial
from hashlib import sha256

from application.audit import Action, By, Entry, audited, note
from application.ports import Clock, LogInAttempts, Passwords, TextForms, Tokens, Users
from domain.errors import FieldError, Invalid
from domain.identifiers import UserId
from domain.user import check_password, is_password


def new_secret(forms: TextForms, password: str) -> str:
    """The canonical form of a new password. Raises Invalid."""
    secret = forms.password(password)
    check_password(secret)
    return secret


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePassword:
    """A user replaces its password, which it must know. All tokens issued until now become invalid. Returns a
    new one, and its lifetime in seconds.

    Raises Invalid, also if the current password is wrong, UnknownUser, and Limited after some wrong ones.
    """

    users: Users
    passwords: Passwords
    forms: TextForms
    tokens: Tokens
    clock: Clock
    attempts: LogInAttempts

    async def __call__(
        self, user: UserId, by: By, current: str, new: str, party: str = ""
    ) -> tuple[str, int]:
        """`party` is the network that the attempt is counted for, and takes its turn with."""
        secret = new_secret(self.forms, new)
        held = await self._checked(user, current, party)
        new_hash = await self.passwords.hash(secret, party)
        entry = Entry(by, Action.PASSWORD_CHANGED, user)
        at = await self.users.set_password(user, held, new_hash, entry)
        if at is None:
            raise _wrong()  # by now: it was changed meanwhile
        note(entry)
        # By the store's clock, which may be ahead: a token from before the revocation would be invalid.
        return self.tokens.mint(user, max(at, self.clock()))

    async def _checked(self, user: UserId, current: str, party: str) -> str:
        """The hash of the current password. Attempts are counted as those to log in are."""
        account = f"password {sha256(user.encode()).hexdigest()[:32]}"
        known = await self.attempts.begin(account, party)
        try:
            _, held = await self.users.password(user)
            matches = held is not None and await self._matches(current, held, party)
        except BaseException:
            await self.attempts.void(account, party, known=known)
            raise
        if held is None or not matches:
            raise _wrong()
        await self.attempts.succeeded(account, party, known=known)
        return held

    async def _matches(self, typed: str, held: str, party: str) -> bool:
        """In the canonical form, or as it was typed, which is how earlier releases stored passwords."""
        try:
            canonical = self.forms.password(typed)
        except Invalid:
            canonical = typed
        for form in dict.fromkeys([canonical, typed]):
            if is_password(form) and await self.passwords.verify(form, held, party):
                return True
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetPassword:
    """Set the password of a user who has an e-mail address. All tokens issued until now become invalid.

    Raises Invalid, UnknownUser.
    """

    users: Users
    passwords: Passwords
    forms: TextForms

    async def __call__(self, user: UserId, by: By, new: str) -> None:
        secret = new_secret(self.forms, new)
        known, _ = await self.users.password(user)
        if known.email is None:
            raise Invalid([FieldError("new_password", "needs a user with an e-mail address")])
        new_hash = await self.passwords.hash(secret)
        entry = Entry(by, Action.PASSWORD_CHANGED, user, {"reset": True})
        await audited(entry, partial(self.users.set_password, user, None, new_hash))


def _wrong() -> Invalid:
    return Invalid([FieldError("current_password", "is not the current password")])
