"""Answers whose body is ready."""

from collections.abc import Mapping

from litestar import Response


class Ready(Response[bytes]):
    """A body of JSON with its headers. The framework's own constructor finds out of what kind each of its
    arguments is, which takes longer than all else of an answer.
    """

    def __init__(self, body: bytes, headers: Mapping[str, str], status: int | None = None) -> None:
        self.content = body
        self.headers = dict(headers)
        self.media_type = "application/json"
        self.status_code = status
        self.cookies = []
        self.background = None
        self.encoding = "utf-8"
        self.response_type_encoders = {}
