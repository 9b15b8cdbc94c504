"""The rules of text and addresses that people see."""

import re
import unicodedata
from collections.abc import Sequence

from domain.errors import FieldError

URL_LENGTH = 2_048

# Users click on it, and applications put it into HTML: no other scheme; no "//host", which only looks like a
# path; no credentials, which make "https://bank.example@evil.example" look like the bank; no quotes and angle
# brackets, which RFC 3986 excludes, apart from the apostrophe; no controls; no bidirectional and invisible
# characters, which make an address look like another (RFC 3987 §4.1).
_REFUSED = (
    r"\s\\\u0022'`<>\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    r"\ufeff\ufff9-\ufffb"
)
_HOST_OR_PATH = rf"://[^/?#@{_REFUSED}]+(?:[/?#][^{_REFUSED}]*)?|/(?!/)[^{_REFUSED}]*)"
LINK = re.compile(rf"(?:https?{_HOST_OR_PATH}")
IMAGE = re.compile(rf"(?:https{_HOST_OR_PATH}")
"""Browsers load an image without being asked: not in the clear."""
_URL_RULE = (
    "or a path from /, without credentials, quotes, angle brackets and control characters: escape them as "
    "%22, %27 and so on"
)
LINK_RULE = f"must be an http(s) URL {_URL_RULE}"
IMAGE_RULE = f"must be an https URL {_URL_RULE}"
# PostgreSQL stores neither; one such row would make it refuse a whole batch.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
UNSTORABLE_RULE = "must not contain NUL or an unpaired surrogate"
# Spaces, controls, format characters and combining marks; and characters that are blank: Hangul fillers and
# the empty Braille cell.
INVISIBLE = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf", "Mn", "Me"})
BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
VISIBLE_RULE = "must have at least one visible character"


def broken_text_rules(name: str, text: str, shortest: int, longest: int) -> Sequence[FieldError]:
    """The rule that a text for people breaks, if any."""
    if errors := broken_storable_rules(name, text, shortest, longest):
        return errors
    # Nearly every text begins with such a character of ASCII.
    if not "!" <= text[:1] <= "~" and not any(map(_is_visible, text)):
        return [FieldError(name, VISIBLE_RULE)]
    return ()


def broken_storable_rules(name: str, text: str, shortest: int, longest: int) -> Sequence[FieldError]:
    """The rule that a text for machines breaks, if any."""
    if not shortest <= len(text) <= longest:
        return [FieldError(name, f"must have {shortest} to {longest} characters")]
    if UNSTORABLE.search(text) is not None:
        return [FieldError(name, UNSTORABLE_RULE)]
    return ()


def broken_link_rules(name: str, url: str) -> Sequence[FieldError]:
    """The rule that an address to click on breaks, if any."""
    return () if _is_url(LINK, url) else [FieldError(name, LINK_RULE)]


def broken_image_rules(name: str, url: str) -> Sequence[FieldError]:
    """The rule that the address of an image breaks, if any."""
    return () if _is_url(IMAGE, url) else [FieldError(name, IMAGE_RULE)]


def _is_url(form: re.Pattern[str], url: str) -> bool:
    return len(url) <= URL_LENGTH and UNSTORABLE.search(url) is None and form.fullmatch(url) is not None


def _is_visible(character: str) -> bool:
    return unicodedata.category(character) not in INVISIBLE and character not in BLANK
