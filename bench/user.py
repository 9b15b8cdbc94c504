"""A user of a benchmark."""

from typing import NamedTuple


class User(NamedTuple):
    """An id, and a token to read its feed."""

    id: str
    token: str
