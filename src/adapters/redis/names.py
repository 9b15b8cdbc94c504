"""The names of keys and channels. All of one user's have the user id as their hash tag, the part in braces,
so that they share a slot of Redis Cluster. A user id contains no braces.
"""

from domain.identifiers import UserId


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
