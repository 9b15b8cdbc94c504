"""Responses to requests that are refused before they reach the application: RFC 9457 problems."""

import email.utils
from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.http11 import Response

from common import wire
from common.security_headers import SECURITY_HEADERS

MEDIA_TYPE = "application/problem+json"

_KINDS = {
    400: ("malformed", "Malformed request"),
    403: ("not-allowed", "Not allowed"),
    405: ("method-not-allowed", "Method Not Allowed"),
    408: ("too-slow", "Body too slow"),
    414: ("address-too-long", "Address too long"),
    426: ("upgrade-required", "Upgrade Required"),
    431: ("head-too-large", "Head too large"),
    500: ("internal", "Internal error"),
    503: ("unavailable", "Temporarily unavailable"),
}


def problem(status: int, detail: str) -> bytes:
    """Return the body of the response."""
    kind, title = _KINDS[status]
    return wire.encode(
        {"type": f"urn:bellwire:problem:{kind}", "title": title, "status": status, "detail": detail}
    )


def answer(status: int, detail: str, headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return the whole response, the last one on its connection."""
    body = problem(status, detail)
    phrase = HTTPStatus(status).phrase
    head = [
        f"HTTP/1.1 {status} {phrase}".encode(),
        *(name + b": " + value for name, value in (*headers, *SECURITY_HEADERS)),
        f"content-type: {MEDIA_TYPE}".encode(),
        f"content-length: {len(body)}".encode(),
        b"connection: close",
    ]
    return b"\r\n".join([*head, b"", body])


def rejection(status: int, detail: str) -> Response:
    """Return the answer to a handshake that is refused."""
    body = problem(status, detail)
    headers = Headers(
        [
            ("Date", email.utils.formatdate(usegmt=True)),
            ("Connection", "close"),
            ("Content-Length", str(len(body))),
            ("Content-Type", MEDIA_TYPE),
            *((name.decode(), value.decode()) for name, value in SECURITY_HEADERS),
        ]
    )
    return Response(status, HTTPStatus(status).phrase, headers, body)
