"""Answers whose body is ready."""

from collections.abc import Mapping

from litestar import Response

JSON_HEAD = b"content-type: application/json\r\ncontent-length: %d\r\n"
"""The lines of a head that describe a body of JSON."""

_NOT_MODIFIED = 304


class Ready(Response[bytes]):
    """A body of JSON with its headers, whose names, in lower case, and values this service makes: nothing in
    them is from a request. The framework's own constructor finds out of what kind each of its arguments is,
    which takes longer than all else of an answer.
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

    def head(self) -> bytes:
        """Its headers as lines of a head."""
        told = "".join([f"{name}: {value}\r\n" for name, value in self.headers.items()]).encode()
        return told + JSON_HEAD % len(self.content) if self.status_code != _NOT_MODIFIED else told
