"""Prefixes of user ids and of events, to which a key can be limited.

A prefix ends with a separator, so that a key for `acme:` reaches nobody of `acmex:`. Which separator divides
tenants is up to the operator, who must keep it out of their names: `acme-` would also begin `acme-labs-ada`.
"""

import re

USER_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,62}[:._-]")
USER_PREFIX_RULE = (
    "must be 2 to 64 of A-Z a-z 0-9 . _ : @ -, begin with a letter or digit and end with one of : . _ -"
)
EVENT_PREFIX = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}[._-]")
EVENT_PREFIX_RULE = "must be 2 to 64 of a-z 0-9 _ . -, begin with a letter or digit and end with one of . _ -"


def within(prefix: str | None, other: str | None) -> bool:
    """Whether all that begins with `prefix` also begins with `other`. None is the prefix of everything."""
    return other is None or (prefix is not None and prefix.startswith(other))
