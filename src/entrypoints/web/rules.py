"""The rules of the domain as JSON Schema. They only describe: the domain enforces them, and names every field
that breaks one, where a decoder would stop at the first.

Patterns keep to what JSON Schema recommends: no classes of Unicode, and few look-aheads.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Meta

from domain.category import CATEGORY as CATEGORY_PATTERN
from domain.category import CATEGORY_LENGTH
from domain.identifiers import ID_PREFIX, USER_ID_LENGTH
from domain.metadata import METADATA_BYTES, METADATA_DEPTH
from domain.notification import EVENT, MESSAGE_LENGTH, REVISION_MAX, TITLE_LENGTH
from domain.prefixes import EVENT_PREFIX, USER_PREFIX
from domain.rich import ACTION_ID as ACTION_ID_PATTERN
from domain.rich import (
    ACTIONS,
    ACTOR_LENGTH,
    COLLAPSE_KEY_LENGTH,
    COLLAPSES,
    LABEL_LENGTH,
    SEVERITIES,
    STYLES,
)
from domain.rich import ICON as ICON_PATTERN
from domain.text import IMAGE, LINK, URL_LENGTH
from domain.user import EMAIL_LENGTH, NAME_LENGTH, PASSWORD_LENGTH, PASSWORD_LENGTH_MAX

_NO_NUL = r"^[^\x00]*$"
# At least one character that is not a dot, or three dots: "." and ".." are no user ids.
_USER_ID = r"^(?:[A-Za-z0-9._:@-]*[A-Za-z0-9_:@-][A-Za-z0-9._:@-]*|\.{3,})$"

USER_ID = {"minLength": 1, "maxLength": USER_ID_LENGTH, "pattern": _USER_ID}
EVENT_NAME = {"minLength": 1, "maxLength": 100, "pattern": f"^{EVENT.pattern}$"}
CATEGORY = {"minLength": 1, "maxLength": CATEGORY_LENGTH, "pattern": f"^{CATEGORY_PATTERN.pattern}$"}
MESSAGE = {"minLength": 1, "maxLength": MESSAGE_LENGTH, "pattern": _NO_NUL}
TITLE = {"maxLength": TITLE_LENGTH, "pattern": _NO_NUL}
ACTION_URL = {
    "minLength": 1,
    "maxLength": URL_LENGTH,
    "pattern": f"^{LINK.pattern}$",
}
IMAGE_URL = {"minLength": 1, "maxLength": URL_LENGTH, "pattern": f"^{IMAGE.pattern}$"}
ICON = {"minLength": 1, "maxLength": 40, "pattern": f"^{ICON_PATTERN.pattern}$"}
SEVERITY = {"enum": list(SEVERITIES)}
COLLAPSE = {"enum": list(COLLAPSES)}
COLLAPSE_KEY = {"minLength": 1, "maxLength": COLLAPSE_KEY_LENGTH, "pattern": _NO_NUL}
REVISION = {"minimum": 0, "maximum": REVISION_MAX}
ACTOR_TEXT = {"minLength": 1, "maxLength": ACTOR_LENGTH, "pattern": _NO_NUL}
NEW_ACTIONS = {"maxItems": ACTIONS}
ACTION_ID = {"minLength": 1, "maxLength": 32, "pattern": f"^{ACTION_ID_PATTERN.pattern}$"}
LABEL = {"minLength": 1, "maxLength": LABEL_LENGTH, "pattern": _NO_NUL}
STYLE = {"enum": list(STYLES)}
METADATA = {"type": "object", "additionalProperties": True}
TIME = {"format": "date-time"}
NAME = {"minLength": 1, "maxLength": NAME_LENGTH, "pattern": _NO_NUL}
EMAIL = {"minLength": 3, "pattern": "[@\uff20]"}
PASSWORD = {"minLength": PASSWORD_LENGTH, "pattern": _NO_NUL}
CURSOR = {"pattern": r"^[0-9a-z]{1,16}\.(?:0|[1-9][0-9]{0,17})$"}
KEY_NAME = {"minLength": 1, "maxLength": 100}
SCOPES = {"minItems": 1}
SCOPE = {"enum": ["publish", "users", "read", "admin"]}
USER_PREFIX_RULE = {"minLength": 2, "maxLength": 64, "pattern": f"^{USER_PREFIX.pattern}$"}
ID_PREFIX_RULE = {"minLength": 1, "maxLength": USER_ID_LENGTH, "pattern": f"^{ID_PREFIX.pattern}$"}
EVENT_PREFIX_RULE = {"minLength": 2, "maxLength": 64, "pattern": f"^{EVENT_PREFIX.pattern}$"}
IDEMPOTENCY_KEY = {"minLength": 1, "maxLength": 255}

# Rules that JSON Schema cannot express.
VISIBLE_WORDS = "At least one visible character, no NUL."
METADATA_WORDS = (
    f"Your own JSON object. Up to {METADATA_BYTES // 1024} KiB of UTF-8 without the whitespace between "
    f"tokens, and {METADATA_DEPTH} levels. No NUL and no unpaired surrogate in a string; numbers with a "
    "fraction or an exponent within the range of a 64-bit float. It is returned as it was sent."
)
EMAIL_WORDS = (
    f"For logging in. Up to {EMAIL_LENGTH} characters in canonical form (RFC 8265, IDNA). Equivalent "
    "spellings, such as other case, are one account."
)
PASSWORD_WORDS = (
    f"{PASSWORD_LENGTH} to {PASSWORD_LENGTH_MAX} characters in canonical form (RFC 8265); no control "
    "character. Requires `email`."
)


def ruled(rule: Mapping[str, Any], description: str, *examples: Any) -> Meta:
    """The description of a field with its rule."""
    return Meta(description=description, examples=list(examples) or None, extra_json_schema=dict(rule))


def refers(name: str) -> Meta:
    """Describe a part that is kept as it was written, or made elsewhere, by a schema of this document."""
    return Meta(extra_json_schema={"$ref": f"#/components/schemas/{name}"})
