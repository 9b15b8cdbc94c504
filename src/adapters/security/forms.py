"""PrecisForms."""

import re

import idna
from precis_i18n import get_profile
from precis_i18n.profile import Profile

from domain.errors import FieldError, Invalid
from domain.user import EMAIL_RULE, PASSWORD_LENGTH_MAX, PASSWORD_RULE

_USERNAME = get_profile("UsernameCaseMapped")
_OPAQUE = get_profile("OpaqueString")

# In NFC, at most four characters become one: text longer than this is too long in any form, for a password
# and for an address, and is not processed.
_TYPED_LENGTH = 4 * PASSWORD_LENGTH_MAX

# Digits and the dot whose validity depends on the rest of the text (RFC 5892, A.7 to A.9).
_ABOUT_ALL = re.compile("[\u0660-\u0669\u06f0-\u06f9\u30fb]")

_BAD_PASSWORD = "must not have a control, an invisible or an unassigned character (RFC 8265)"  # noqa: S105
_BAD_DOMAIN = f"{EMAIL_RULE}; the part after the @ is not a domain (IDNA)"


class PrecisForms:
    """The forms of texts by PRECIS (RFC 8264) and IDNA, for the Unicode version of this Python."""

    def email(self, typed: str) -> str:
        # A Japanese IME types @ in full width. The parts are mapped separately.
        text = typed.strip().replace("\uff20", "@")
        local, at, domain = text.rpartition("@")
        if not (local and at and len(text) <= _TYPED_LENGTH):
            raise Invalid([FieldError("email", EMAIL_RULE)])
        try:
            return f"{_enforced(_USERNAME, local)}@{_domain(domain)}"
        except UnicodeEncodeError as error:
            raise Invalid([FieldError("email", _bad_email(error))]) from None
        except idna.IDNAError:
            raise Invalid([FieldError("email", _BAD_DOMAIN)]) from None

    def password(self, typed: str) -> str:
        if not 0 < len(typed) <= _TYPED_LENGTH:
            raise Invalid([FieldError("password", PASSWORD_RULE)])
        try:
            return _enforced(_OPAQUE, typed)
        except UnicodeEncodeError:
            raise Invalid([FieldError("password", _BAD_PASSWORD)]) from None


def _domain(typed: str) -> str:
    """The domain in its own script, so that it is the same whether it was typed so or as `xn--…`."""
    # UTS #46 alone would drop invisible characters.
    text = _enforced(_OPAQUE, typed)
    try:
        text = idna.decode(idna.encode(text, uts46=True))
    except idna.IDNAError:
        # Names in ASCII that are not valid on the Internet are accepted too, for example a_host.
        if not text.isascii():
            raise
        text = _enforced(_USERNAME, text)
    text = text.removesuffix(".")
    if "" in text.split("."):
        raise idna.IDNAError("Empty label")
    return text


def _enforced(profile: Profile, text: str) -> str:
    """Return or raise what `profile.enforce` does, but faster: it scans the whole text again for each
    character whose validity depends on all of it, more than a second for a thousand of them.
    """
    form: str = profile.idempotence_check(profile.apply_five_rules(text))
    if not form:
        raise UnicodeEncodeError(profile.name, text, 0, 0, "empty")
    seen: set[str] = set()

    def once(match: re.Match[str]) -> str:
        """Keep the first of each such character; replace others by one that is valid anywhere."""
        if match[0] in seen:
            return "-"
        seen.add(match[0])
        return match[0]

    profile.base.enforce(_ABOUT_ALL.sub(once, form), profile.name)
    return form


def _bad_email(error: UnicodeEncodeError) -> str:
    if error.end - error.start != 1:
        return EMAIL_RULE
    return f"{EMAIL_RULE}; U+{ord(error.object[error.start]):04X} cannot be in one"
