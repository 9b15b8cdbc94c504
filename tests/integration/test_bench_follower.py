"""The benchmarks' follower against a scripted service: it keeps its place, and says when it could not."""

import asyncio
from contextlib import AsyncExitStack

from bench.followers import Followers, Outcome
from bench.user import User

EPOCH = "0a1b2c3d"


class Script:
    """A service on a port of loopback that gives every connection the next of the answers prepared for it."""

    def __init__(self, *answers: list[bytes]) -> None:
        self._answers = list(answers)
        self.heads: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[0])
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + b"".join(self._answers.pop(0)))
        await reader.read()  # until the client has gone
        writer.close()


def text(payload: bytes) -> bytes:
    return b"\x81\x7e" + len(payload).to_bytes(2) + payload


def frame(version: int) -> bytes:
    item = f'{{"id":"01a202bb-ab09-7455-8828-{version:012}","user_id":"ada","version":{version}}}'
    prev, cursor = f"{EPOCH}.{version - 1}", f"{EPOCH}.{version}"
    return text(f'{{"type":"notifications","items":[{item}],"prev":"{prev}","cursor":"{cursor}"}}'.encode())


def welcome(version: int, *, resumed: bool) -> bytes:
    answer = f'{{"type":"welcome","cursor":"{EPOCH}.{version}","resumed":{str(resumed).lower()}}}'
    return text(answer.encode())


def end(code: int, retry_ms: int) -> bytes:
    bye = f'{{"type":"bye","code":{code},"reason":"","retry_ms":{retry_ms},"resume":true}}'
    return text(bye.encode()) + b"\x88\x02" + code.to_bytes(2)


async def following(*scripts: Script, ends: dict[str, int]) -> Outcome:
    """What a follower was told by the nodes that these scripts play."""
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(await asyncio.start_server(script.serve, "127.0.0.1"))
            for script in scripts
        ]
        all_of_them = Followers(*(server.sockets[0].getsockname()[1] for server in servers))
        await all_of_them.start([User("ada", "")])
        outcome = await all_of_them.complete(ends, 60.0)
        await all_of_them.stop()
        return outcome


async def test_a_follower_goes_to_the_other_node_with_its_cursor_after_a_bye() -> None:
    leaving = Script([welcome(0, resumed=False), frame(1), frame(2), end(4000, retry_ms=40)])
    staying = Script([welcome(2, resumed=True), frame(3)])

    outcome = await following(leaving, staying, ends={"ada": 3})

    assert staying.heads == [f"GET /ws/ada?cursor={EPOCH}.2 HTTP/1.1"]
    assert (outcome.errors, outcome.judgement.delivered, outcome.incomplete) == (0, 3, [])
    assert outcome.account.ends == {"4000": 1}
    assert len(outcome.account.reconnects) == len(outcome.account.returns) == 1


async def test_a_follower_that_is_not_resumed_says_so() -> None:
    once = Script([welcome(0, resumed=False), end(4000, 0)], [welcome(0, resumed=False), frame(1)])

    outcome = await following(once, ends={"ada": 1})

    assert (outcome.resets, outcome.errors) == (1, 1)


async def test_a_follower_that_is_told_to_stay_away_does() -> None:
    node = Script([welcome(0, resumed=False), frame(1), end(4513, 0)])

    outcome = await following(node, ends={"ada": 1})

    assert len(node.heads) == 1
    assert (outcome.refused, outcome.errors, outcome.away) == (1, 1, 1)


async def test_what_never_comes_is_told_by_name() -> None:
    node = Script([welcome(0, resumed=False), frame(1), end(4513, 0)])

    outcome = await following(node, ends={"ada": 2})

    assert outcome.incomplete == ["ada"]
    assert outcome.judgement.lost == 1
