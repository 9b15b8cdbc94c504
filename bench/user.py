"""Someone to notify."""

from typing import NamedTuple


class User(NamedTuple):
    """An id, and a token to read what came."""

    id: str
    token: str
