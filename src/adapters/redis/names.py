"""The names of keys and channels. All of one user's have the user id as their hash tag, the part in braces,
so that they share a slot of Redis Cluster. A user id contains no braces.

Other keys that one script uses share a slot only in a cluster: elsewhere they keep the names that they had
before there were clusters, because they hold what must not be forgotten.
"""

from hashlib import blake2b

from domain.identifiers import UserId

# Over so many slots the idempotency keys of a producer are spread, if it may use at least so many.
_CLAIM_SLOTS = 64
_FEW_CLAIMS = 64_000


def index_keys(prefix: str, user: UserId) -> list[str]:
    """The keys of a user's index entry and lease, in the order in which the scripts expect them."""
    return [f"{prefix}:feed:{{{user}}}", f"{prefix}:unread:{{{user}}}", f"{prefix}:lease:{{{user}}}"]


def channel(prefix: str, user: UserId) -> str:
    """The channel that carries a user's frames."""
    return f"{prefix}:live:{{{user}}}"


def around_user(prefix: str, kind: str) -> tuple[str, str]:
    """What stands before and after the user in these names; `kind` is the second part of the name."""
    return f"{prefix}:{kind}:{{", "}"


def control_channel(prefix: str) -> str:
    """The channel for messages to every process."""
    return f"{prefix}:live:control"


def claim_keys(
    prefix: str, producer: str, hidden: str, most: int, *, clustered: bool
) -> tuple[str, str, int]:
    """The keys of an idempotency key and of the number of them, and how many there may be of that number."""
    if not clustered:
        return f"{prefix}:claim:{hidden}", f"{prefix}:claims:{producer}", most
    slots = _CLAIM_SLOTS if most >= _FEW_CLAIMS else 1
    tag = f"{{{producer}.{int(hidden[:8], 16) % slots}}}"
    return f"{prefix}:claim:{tag}:{hidden}", f"{prefix}:claims:{tag}", -(-most // slots)


TICKET_TAG = 2
"""The length of a ticket's tag."""


def ticket_tag(user: UserId) -> str:
    """Two hexadecimal digits that tickets of a user begin with in a cluster. They lead to the slot of the
    ticket and of the number of the user's tickets.
    """
    return blake2b(user.encode(), digest_size=1).hexdigest()


def tickets_key(prefix: str, tag: str, user: UserId) -> str:
    """The key of the number of a user's tickets. The tag is empty outside a cluster."""
    return f"{prefix}:tickets:{_braced(tag)}{user}"


def ticket_key(prefix: str, tag: str, hidden: str) -> str:
    """The key of a ticket."""
    return f"{prefix}:ticket:{_braced(tag)}{hidden}"


def account_keys(prefix: str, account: str, address: str, *, clustered: bool) -> list[str]:
    """The keys of the known addresses of an account, of its failures, and of those at an address."""
    tag = f"{{{account}}}" if clustered else account
    return [f"{prefix}:log-ins:{tag}", f"{prefix}:failures:{tag}", f"{prefix}:failures:{tag}:{address}"]


def limit_key(prefix: str, limit: str, party: str) -> str:
    """The key that tells when a party is due."""
    return f"{prefix}:limit:{limit}:{party}"


def _braced(tag: str) -> str:
    return f"{{{tag}}}:" if tag else ""
