"""What a hot request costs, in a measure that no other program on the machine changes: the instructions of
Python that it executes, compared with a bare Litestar route.

A ceiling is a tenth above what was measured. Whoever needs more raises it, and says for what.
"""

import sys
from collections.abc import AsyncIterator, Mapping
from types import FrameType
from typing import Any, Self

import pytest

from bench.bare import app as bare
from common.exchanges import ANSWER
from tests.build import ADA, drafts
from tests.wiring import HOST, Service

BODY = b'{"user_id": "ada", "event": "bench.done", "message": "Build 7 has passed."}'
FEED = "/v1/users/ada/notifications"
WARM = 3

# Of the bare route, which decodes a small body and answers with a small one.
CEILINGS = {
    "POST /v1/notifications": 0.94,
    f"GET {FEED}": 0.93,
    "GET /v1/users/ada/unread-count": 0.75,
}


class Instructions:
    """Counts the instructions of frames that are entered while it is active, those of the tests aside."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Self:
        self._before = sys.gettrace()
        sys.settrace(self._entered)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _entered(self, frame: FrameType, _event: str, _argument: object) -> Any:
        if "/tests/" in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._executed

    def _executed(self, _frame: FrameType, event: str, _argument: object) -> Any:
        self.count += event == "opcode"
        return self._executed


async def cost(app: Any, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> int:
    """How many instructions a request executes, once everything is in place."""
    for _ in range(WARM):
        assert await status(app, method, path, headers, body) in {200, 202}
    with Instructions() as instructions:
        await status(app, method, path, headers, body)
    return instructions.count


async def status(app: Any, method: str, path: str, headers: Mapping[str, str], body: bytes) -> int:
    answer: list[dict[str, Any]] = []
    fields = {"host": HOST, "content-type": "application/json", "content-length": str(len(body)), **headers}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        answer.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
        "client": ("192.0.2.1", 50_000),
        "server": (HOST, 80),
        "extensions": {ANSWER: {}},
    }
    await app(scope, receive, send)
    return int(answer[0]["status"])


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service.run(access_log=False) as service:
        await service.add(ADA)
        await service.memory.feeds.append(drafts(20))
        yield service


@pytest.mark.parametrize("request_line", CEILINGS)
async def test_a_hot_request_costs_no_more_than(service: Service, request_line: str) -> None:
    method, _, path = request_line.partition(" ")
    headers = service.producer if method == "POST" else service.bearer()
    headers = {name.lower(): value for name, value in headers.items()}
    reference = await cost(bare, "POST", "/notifications", {}, BODY)

    costs = await cost(service.app, method, path, headers, BODY if method == "POST" else b"")

    assert costs / reference <= CEILINGS[request_line], (costs, reference)
