"""Keyed hashes of user ids."""

import hmac
from hashlib import sha256

from application.ports import UserHash
from domain.identifiers import UserId


def keyed_user_hash(secret: str, token_secret: str) -> UserHash:
    """HMAC-SHA-256 with this secret; without one, with a key derived from the secret of the tokens."""
    key = hmac.digest((secret or token_secret).encode(), b"bellwire user ids", sha256)

    def user_hash(user: UserId) -> bytes:
        return hmac.digest(key, user.encode(), sha256)

    return user_hash
