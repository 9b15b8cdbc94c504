"""Publishes for users in turn, and the versions that result."""

import json
from collections import Counter
from collections.abc import Sequence
from itertools import cycle, islice

from bench.load import STAMP, request
from bench.user import User

_MESSAGE_LONGEST = 4_000


def publishing(users: Sequence[User], api_key: str, *, size: int = 0) -> list[bytes]:
    """One request per user, which carries its due time. With `size`, it has at least that many bytes."""
    return [
        request("POST", "/v1/notifications", f"X-API-Key: {api_key}", body=_body(user, size))
        for user in users
    ]


def versions(users: Sequence[User], sent: int) -> Counter[str]:
    """The version of each user's feed after this many requests, in turn, each sent once."""
    return Counter(user.id for user in islice(cycle(users), sent))


def _body(user: User, size: int) -> bytes:
    message = "Build 7 has passed.".ljust(min(size, _MESSAGE_LONGEST), ".")
    more = {"log": "." * (size - len(message))} if size > len(message) else {}
    body = {"user_id": user.id, "event": "bench.done", "message": message, "metadata": {"sent": 0, **more}}
    return json.dumps(body).encode().replace(b'"sent": 0', b'"sent": %b' % STAMP)
