"""A user: somebody who has a feed."""

import re
from dataclasses import dataclass
from datetime import datetime

from domain.errors import FieldError, Invalid
from domain.identifiers import USER_ID_RULE, UserId, is_user_id
from domain.text import UNSTORABLE

NAME_LENGTH = 200
EMAIL_LENGTH = 254
PASSWORD_LENGTH = 8
# Bounds the work of hashing a password.
PASSWORD_LENGTH_MAX = 256
PASSWORD_RULE = f"must have {PASSWORD_LENGTH} to {PASSWORD_LENGTH_MAX} characters"
# Deliberately loose: only a mail that arrives proves an address.
EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
EMAIL_RULE = "must be an e-mail address"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody who has a feed. Raises Invalid, which names every field that breaks a rule."""

    id: UserId
    name: str
    email: str | None
    created_at: datetime
    disabled_at: datetime | None = None

    def __post_init__(self) -> None:
        errors = []
        if not is_user_id(self.id):
            errors.append(FieldError("id", USER_ID_RULE))
        if not 0 < len(self.name.strip()) <= NAME_LENGTH or UNSTORABLE.search(self.name):
            errors.append(FieldError("name", f"must have 1 to {NAME_LENGTH} printable characters"))
        if self.email is not None and not _is_email(self.email):
            errors.append(FieldError("email", EMAIL_RULE))
        if errors:
            raise Invalid(errors)


def is_name_part(text: str) -> bool:
    """Whether the text may be a part of a name."""
    return 0 < len(text) <= NAME_LENGTH and UNSTORABLE.search(text) is None


def is_password(text: str) -> bool:
    """Whether the text may serve as a password."""
    return PASSWORD_LENGTH <= len(text) <= PASSWORD_LENGTH_MAX and UNSTORABLE.search(text) is None


def check_password(text: str) -> None:
    """Raise Invalid unless the text may serve as a password."""
    if not is_password(text):
        raise Invalid([FieldError("password", PASSWORD_RULE)])


def earlier_email(typed: str) -> str | None:
    """The form in which earlier releases stored an address; None if they did not accept it."""
    form = typed.strip().lower()
    return form if _is_email(form) else None


def _is_email(email: str) -> bool:
    return (
        len(email) <= EMAIL_LENGTH and UNSTORABLE.search(email) is None and EMAIL.fullmatch(email) is not None
    )
