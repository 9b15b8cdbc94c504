"""Commands on one connection, and the service's answers."""

import asyncio
import json
from itertools import count
from typing import Any

from bellwire_client.errors import CommandRefused, ConnectionLost, OutcomeUnknown, StreamRefused
from bellwire_client.events import Json
from bellwire_client.websocket import Socket

ANSWER_SECONDS = 10.0
_MOST_BYTES = 4096


class Commands:
    """Sends commands, and returns answers to their callers, by `ref`."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._refs = count(1)
        self._answers: dict[object, asyncio.Future[Json | None]] = {}

    def __bool__(self) -> bool:
        """Whether a command waits for its answer."""
        return bool(self._answers)

    async def __call__(self, kind: str, arguments: Json) -> int:
        """Send a command and return how many notifications it changed. Raises CommandRefused, OutcomeUnknown,
        and ValueError if it is longer than the service accepts.
        """
        ref = next(self._refs)
        text = _encode({"type": kind, **arguments, "ref": ref})
        if len(text) > _MOST_BYTES:
            raise ValueError(f"a command has at most {_MOST_BYTES} bytes; this {kind!r} has {len(text)}")
        awaited = self._answers[ref] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._socket.send(text)
                answer = await awaited
        except TimeoutError:
            raise OutcomeUnknown(f"no answer to {kind!r} within {ANSWER_SECONDS:.0f} s") from None
        except (ConnectionLost, StreamRefused):
            answer = None
        finally:
            del self._answers[ref]
        if answer is None:
            raise OutcomeUnknown(f"the connection ended before {kind!r} was answered")
        if answer["type"] == "error":
            detail, temporary = str(answer.get("detail", "")), bool(answer.get("temporary"))
            raise CommandRefused(str(answer.get("code", "error")), detail, temporary=temporary)
        return int(answer.get("changed", 0))

    def answer(self, frame: Json) -> None:
        """Pass an answer to its caller, if it still waits."""
        awaited = self._answers.get(frame.get("ref"))
        if awaited is not None and not awaited.done():
            awaited.set_result(frame)

    def close(self) -> None:
        """End all waiting: no answer will come any more."""
        for awaited in self._answers.values():
            if not awaited.done():
                awaited.set_result(None)

    async def pong(self) -> None:
        """Answer a ping."""
        await self._socket.send(_encode({"type": "pong"}))


def _encode(frame: dict[str, Any]) -> str:
    return json.dumps(frame, separators=(",", ":"))
